# shellcheck shell=bash
# What comes from Debian: package indexes, the root file system, unpacked packages, tools. To be
# sourced after cache.sh by a script that sets $root, $kernel, $mirror, $security_mirror and $offline.

readonly SUITE=trixie
readonly APT=$root/build/apt
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Programs that run on this machine but whose output depends on their version: they come from the same
# release as the image, so that each machine makes the same bytes.
readonly TOOL_PACKAGES=(e2fsprogs:amd64 libarchive13t64:amd64)

# The file times of the Debian root, before they are limited to those of the build. A constant, so that
# the root is made again only when packages change.
readonly DEBIAN_EPOCH=1754697600 # 2025-08-09, the release of trixie

# Prints the packages a list names.
packages_of() {
  sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$root/firmware-image/debian/$1.packages"
}

# Prints the address this machine takes the packages of an apt label from.
host_mirror() {
  apt-get indextargets --format "\$(REPO_URI)" "Created-By: Packages" "Label: $1" | head -n 1
}

find_mirrors() {
  if [[ -n $mirror && -n $security_mirror ]]; then return; fi
  # A fresh machine may have no lists yet, and then knows no labels.
  if [[ -z $(host_mirror Debian) ]]; then apt-get update --quiet --quiet >&2; fi
  mirror=${mirror:-$(host_mirror Debian)}
  security_mirror=${security_mirror:-$(host_mirror Debian-Security)}
  [[ -n $mirror && -n $security_mirror ]] ||
    fail "apt of this machine names no Debian mirror: give --mirror URL and --security-mirror URL"
}

source_lines() {
  local trust="arch=arm64,amd64 signed-by=$KEYRING"
  echo "deb [$trust] $mirror $SUITE main non-free-firmware"
  echo "deb [$trust] $mirror $SUITE-updates main non-free-firmware"
  echo "deb [$trust] $security_mirror $SUITE-security main non-free-firmware"
}

# apt takes from backports only what is asked for by that name.
backports_line() {
  echo "deb [arch=arm64 signed-by=$KEYRING] $mirror $SUITE-backports main"
}

# apt for the image's release, with a state of its own: this machine's packages are not touched.
target_apt() {
  local command=$1
  shift
  APT_CONFIG=$APT/apt.conf "apt-$command" "$@"
}

refresh_indexes() {
  mkdir -p -- "$APT"/state/lists/partial "$APT"/cache/archives/partial
  : >"$APT/status"
  {
    source_lines
    if [[ $kernel == backports ]]; then backports_line; fi
  } >"$APT/sources.list"
  cat >"$APT/apt.conf" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; "amd64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::Cache "$APT/cache";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "$APT/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$APT/state";
Dir::State::status "$APT/status";
CONF
  if [[ -n $offline ]]; then return; fi
  target_apt get update --quiet --quiet --error-on=any >&2
}

# Prints what apt would install for an architecture: a line "name=version" for each package.
resolve() {
  local arch=$1
  shift
  target_apt get --simulate --quiet --quiet install "$@" |
    sed -nE "s/^Inst ([^ :]+)(:$arch)? (\[[^]]*\] )?\(([^ ]+) .*\[($arch|all)\].*/\1=\4/p" | LC_ALL=C sort
}

# The versions this build uses, of everything. The keys of the steps below.
resolve_packages() {
  local essential="?and(?essential,?or(?architecture(arm64),?architecture(all)))"
  mapfile -t wanted < <(packages_of root)
  root_packages=$(resolve arm64 "$essential" "${wanted[@]}")
  local release=""
  if [[ $kernel == backports ]]; then release=/$SUITE-backports; fi
  mapfile -t wanted < <(packages_of unpacked | sed "s|^linux-image-arm64\$|&$release|")
  # Only what the list names, and the kernel its first line stands for: one package, or in newer
  # releases one each for the kernel, its modules and its device trees.
  local names="linux-(image|binary|modules|base)-[0-9][^=]*"
  names+=$(packages_of unpacked | sed -e '/^linux-image-arm64$/d' -e 's/[+.]/\\&/g' -e 's/^/|/' | tr -d '\n')
  unpacked_packages=$(resolve arm64 "${wanted[@]}" | grep -E "^($names)=")
  tool_packages=$(resolve amd64 "${TOOL_PACKAGES[@]}")
  [[ -n $root_packages && -n $unpacked_packages && -n $tool_packages ]] ||
    fail "apt does not find the packages of firmware-image/debian (with --offline: run once without it)"
}

# Prints the version of the kernel's package.
kernel_version() {
  sed -n 's/^linux-image-[0-9][^=]*=//p' <<<"$unpacked_packages"
}

# Lets the kernel run the image's own programs: the install scripts of its packages.
register_emulator() {
  local registry=/proc/sys/fs/binfmt_misc
  mkdir -p -- "$root/build"
  exec {lock}>"$root/build/binfmt.lock"
  flock "$lock"
  if [[ ! -e $registry/register ]]; then mount -t binfmt_misc binfmt_misc "$registry"; fi
  if [[ ! -e $registry/qemu-aarch64 ]]; then
    # Debian's own entry. Flag F: the kernel holds the emulator open, so it works in a chroot.
    tr -d '\n' </usr/lib/binfmt.d/qemu-aarch64.conf >"$registry/register"
  fi
  exec {lock}>&-
  grep -q '^flags:.*F' "$registry/qemu-aarch64" ||
    fail "$registry/qemu-aarch64 is registered without the flag F: remove it (echo -1 > it) and run again"
}

# The root file system as Debian installs it: root.tar.
make_debian() {
  local into=$1
  register_emulator
  mapfile -t sources < <(source_lines | sed 's/arch=[^ ]* //')
  # Documentation and translations are not for a device without a login, licences are.
  SOURCE_DATE_EPOCH=$DEBIAN_EPOCH mmdebstrap --quiet --mode=root --variant=essential --architectures=arm64 \
    --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --include="$(packages_of root | paste --serial --delimiters=,)" \
    "$SUITE" "$into/root.tar" "${sources[@]}"
}

# Downloads packages of exact versions, checked by apt's signed indexes, and unpacks each: tree. Their
# control data go to control, one file each, in the form of dpkg's status.
unpack() {
  local arch=$1 packages=$2 into=$3
  mkdir -- "$into"/{debs,tree,control}
  mapfile -t wanted <<<"$packages"
  # arm64 is what apt.conf calls this machine: without a name it is meant, and "all" is found too.
  if [[ $arch != arm64 ]]; then mapfile -t wanted < <(sed "s/=/:$arch=/" <<<"$packages"); fi
  (cd -- "$into/debs" && target_apt get download --quiet --quiet "${wanted[@]}" >&2)
  local deb name
  for deb in "$into"/debs/*.deb; do
    name=$(dpkg-deb --field "$deb" Package)
    dpkg-deb --extract "$deb" "$into/tree"
    dpkg-deb --field "$deb" >"$into/control/$name"
  done
  rm -r -- "$into/debs"
}

# Runs a program of the tools, with its own libraries.
tool() {
  local program=$1
  shift
  # File names are UTF-8, and the one locale that needs no files knows it.
  LC_ALL=C.UTF-8 "$tools/usr/lib64/ld-linux-x86-64.so.2" --library-path "$tools/usr/lib/x86_64-linux-gnu" "$tools/$program" "$@"
}

# Makes $debian (root.tar), $unpacked (tree, control) and $tools.
fetch_debian() {
  find_mirrors
  refresh_indexes
  resolve_packages
  # Each step again when its packages or its own lines change, not with any other line of this file.
  cached tools "$(key_of unpack "$tool_packages")" unpack amd64 "$tool_packages"
  tools=$cached/tree
  cached unpacked "$(key_of unpack "$unpacked_packages")" unpack arm64 "$unpacked_packages"
  unpacked=$cached
  cached debian "$(key_of make_debian "$root_packages")" make_debian
  debian=$cached
}
