# shellcheck shell=bash
# The root file system of a slot, as a folder. To be sourced after cache.sh and debian.sh.

# Removes the kernel modules that modules.keep does not name and nobody it names depends on. depmod has
# listed them.
keep_modules() {
  local folder=$1
  # modules.dep: "MODULE: MODULES IT NEEDS", all of them, not only the next ones.
  sed -e '/^#/d' -e '/^$/d' -e 's|^|kernel/|' "$root/firmware-image/debian/modules.keep" |
    awk '
      FNR == NR { keep[$1] = 1; next }
      {
        path = $1
        sub(":$", "", path)
        all[path] = 1
        for (part = path; part != ""; ) {
          if (part in keep) {
            wanted[path] = 1
            for (i = 2; i <= NF; i++) wanted[$i] = 1
            break
          }
          if (!sub("/[^/]*$", "", part)) break
        }
      }
      END { for (path in all) if (!(path in wanted)) print path }
    ' - "$folder/modules.dep" |
    (cd -- "$folder" && xargs --delimiter='\n' rm -f --)
  find "$folder" -type d -empty -delete
}

# Removes the firmware that firmware.keep does not name.
keep_firmware() {
  local folder=$1 pattern
  local -a keep=()
  while read -r pattern; do
    keep+=(! -path "$folder/$pattern")
  done < <(sed -e '/^#/d' -e '/^$/d' "$root/firmware-image/debian/firmware.keep")
  find "$folder" ! -type d "${keep[@]}" -delete
  # Debian chooses the signer of the radio rules by a link with an absolute path.
  local rules
  for rules in regulatory.db regulatory.db.p7s; do
    ln -sfn -- "$rules-debian" "$folder/$rules"
    [[ -f $folder/$rules ]] || fail "the radio rules $rules-debian are missing"
  done
  # Links that lead nowhere now.
  find "$folder" -xtype l -delete
  find "$folder" -type d -empty -delete
}

# The kernel must leave room in memory for the initrd. QEMU's U-Boot loads that 60 MiB after the kernel;
# on the boards boot.cmd has it further up.
readonly KERNEL_ROOM=$((60 * 1024 * 1024))
check_kernel() {
  local magic size
  # The head of an arm64 Image: what it takes in memory at 16, and a magic number at 56.
  magic=$(od --address-radix=n --format=x4 --skip-bytes=56 --read-bytes=4 -- "$1")
  [[ $magic == *644d5241 ]] || fail "$1 is no plain arm64 kernel, which U-Boot could start"
  size=$(od --address-radix=n --format=u8 --skip-bytes=16 --read-bytes=8 -- "$1")
  ((size <= KERNEL_ROOM)) || fail "the kernel takes $((size)) bytes of memory, U-Boot has room for $KERNEL_ROOM"
}

# Prints the path of the kernel that was unpacked; newer packages have it beside its modules.
kernel_file() {
  compgen -G "$unpacked/tree/boot/vmlinuz-*" || compgen -G "$unpacked/tree/usr/lib/modules/*/vmlinuz"
}

# The slot without anything of ours: Debian's root, kernel, modules, firmware. Also modules.alias, of the
# whole kernel: which module drives what.
make_base() {
  local into=$1
  local tree=$into/tree
  mkdir -- "$tree"
  tar --extract --numeric-owner --xattrs --xattrs-include='*' --file "$debian/root.tar" --directory "$tree"
  # Licences are kept, and what goes onto the boot partition is not for here.
  tar --create --directory "$unpacked/tree" --exclude=./usr/lib/linux-image-* --exclude=./usr/lib/raspi-firmware \
    --exclude=./usr/lib/u-boot --exclude=./boot --exclude=./etc \
    --exclude=./usr/lib/modules/*/{dtb,vmlinuz,config,System.map} . |
    tar --extract --no-same-owner --no-overwrite-dir --directory "$tree"
  find "$tree/usr/share/doc" ! -type d ! -name copyright -delete
  find "$tree/usr/share/doc" -type d -empty -delete
  local version
  version=$(ls "$tree/usr/lib/modules")
  depmod --basedir "$tree" "$version"
  cp -- "$tree/usr/lib/modules/$version/modules.alias" "$into"
  keep_modules "$tree/usr/lib/modules/$version"
  keep_firmware "$tree/usr/lib/firmware"
  depmod --basedir "$tree" "$version"
  install -m 644 -- "$(kernel_file)" "$tree/boot/vmlinuz"
  check_kernel "$tree/boot/vmlinuz"

  # Nothing is installed on the device, and its package lists would be copied to the data partition.
  # What is on it stands in the bill of materials, which is made from this file.
  mkdir -- "$into/debian"
  mv -- "$tree/var/lib/dpkg/status" "$into/debian/status"
  rm -rf -- "$tree"/var/lib/{apt,dpkg} "$tree"/var/cache/* "$tree"/var/log/* "$tree/etc/apt" "$tree"/usr/share/{man,info,locale,lintian,bug}
  # Keys and names that every device makes for itself.
  rm -f -- "$tree"/etc/{hostname,machine-id,resolv.conf} "$tree/var/lib/dbus/machine-id"
}

# Every library that Node and the native parts of packages name must be there.
check_libraries() {
  local tree=$1 file library
  while read -r file; do
    while read -r library; do
      [[ -n $(find "$tree/usr/lib/aarch64-linux-gnu" "$tree/usr/lib" -maxdepth 1 -name "$library" -print -quit) ]] ||
        fail "${file#"$tree"} needs $library, which no package of firmware-image/debian brings"
    done < <(readelf --dynamic --wide "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
  done < <(find "$tree/usr/lib/tidegate/bin" "$tree/usr/lib/tidegate/node_modules" -type f \( -path '*/tidegate/bin/node' -o -name '*.node' \))
}

# make_tree TREE: the slot with the gateway, its units and programs, for $version and $epoch.
make_tree() {
  local tree=$1
  cp --archive --reflink=auto -- "$base/tree/." "$tree"
  install -D -m 644 -- "$initrd/initrd.img" "$tree/boot/initrd.img"
  "$root/scripts/stage" arm64 "$tree" "$version"
  # Modes as they are in the repository: a clone may have been made with another umask.
  (cd -- "$root/firmware-image/rootfs" && tar --create --owner=0 --group=0 --mode='u=rwX,go=rX' .) |
    tar --extract --no-overwrite-dir --directory "$tree"
  "$root/systemd/install" "$tree"

  mkdir -p -- "$tree/data" "$tree/boot/firmware" "$tree/etc/tidegate"
  echo uninitialized >"$tree/etc/machine-id"
  echo tidegate >"$tree/etc/hostname"
  printf '%s\n' "127.0.0.1 localhost" "::1 localhost ip6-localhost ip6-loopback" >"$tree/etc/hosts"
  ln -s -- ../run/systemd/resolve/stub-resolv.conf "$tree/etc/resolv.conf"
  cat >"$tree/usr/lib/tidegate-release" <<RELEASE
VERSION=$version
BUILD_DATE=$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)
BOARD=arm64
RELEASE
  # Debian's own names stay for whoever looks for what it is made from.
  cat >>"$tree/usr/lib/os-release" <<RELEASE
VARIANT="Tidegate"
VARIANT_ID=tidegate
IMAGE_ID=tidegate
IMAGE_VERSION=$version
RELEASE
  # systemd never starts with a clock before this file's time.
  touch -- "$tree/usr/lib/clock-epoch"

  # Debian's packages have made their own accounts.
  systemd-sysusers --root="$tree" tidegate.conf
  # It tells each link it makes and removes.
  systemctl --root="$tree" --quiet preset-all 2>"$work/preset.log" || {
    cat -- "$work/preset.log" >&2
    fail "the presets cannot be applied"
  }
  if [[ -n $overlay ]]; then
    tar --create --owner=0 --group=0 --directory "$overlay" . |
      tar --extract --no-overwrite-dir --directory "$tree"
  fi
  check_libraries "$tree"
  # Backups that sysusers makes of what it changed; they differ between first and second runs.
  rm -f -- "$tree"/etc/{passwd,group,shadow,gshadow}-
}
