# shellcheck shell=bash
# The initrd: busybox, the modules of firmware-image/initrd/modules and their dependencies, and init.
# Made without running anything of the image. To be sourced after cache.sh.

# make_initrd TREE INTO: puts INTO/initrd.img, for the kernel whose modules are in TREE, and
# INTO/modules.load, the names of those it loads.
make_initrd() {
  local tree=$1 into=$2
  local version content=$into/content mark name path found
  version=$(ls "$tree/usr/lib/modules")
  mkdir -p -- "$content/bin" "$content/lib/modules/$version"
  install -m 755 -- "$tree/usr/bin/busybox" "$content/bin/busybox"
  install -m 755 -- "$root/firmware-image/initrd/init" "$content/init"

  while read -r mark name; do
    if [[ $mark != "!" ]]; then name=$mark; fi
    found=""
    while read -r action path; do
      if [[ $action == builtin ]]; then found=yes; fi
      if [[ $action != insmod ]]; then continue; fi
      found=yes
      local file=$content/${path#"$tree/"}
      file=${file%.xz}
      file=${file/usr\/lib\/modules/lib\/modules}
      if [[ -e $file ]]; then continue; fi
      mkdir -p -- "$(dirname -- "$file")"
      # Unpacked: the whole archive is compressed, and busybox loads them as they are.
      case $path in
        *.xz) xz --decompress --stdout -- "$path" >"$file" ;;
        *) cp -- "$path" "$file" ;;
      esac
      basename -- "$file" .ko >>"$content/modules.load"
    done < <(modprobe --dirname="$tree" --set-version="$version" --show-depends "$name" 2>/dev/null)
    if [[ -z $found && $mark == "!" ]]; then
      echo "the kernel $version has no module $name, which firmware-image/initrd/modules requires" >&2
      return 1
    fi
  done < <(sed -e '/^#/d' -e '/^$/d' "$root/firmware-image/initrd/modules")

  cp -- "$tree/usr/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$content/lib/modules/$version"
  depmod --basedir "$content" "$version"
  find "$content" -exec touch --no-dereference --date=@0 -- {} +
  (
    cd -- "$content"
    find . -print0 | LC_ALL=C sort -z |
      cpio --null --create --format=newc --owner=+0:+0 --reproducible --quiet
  ) | zstd -19 --quiet --threads=1 >"$into/initrd.img"
  mv -- "$content/modules.load" "$into"
  rm -r -- "$content"
}
