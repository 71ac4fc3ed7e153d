#!/bin/sh
# Turns Buildroot's root tree into the appliance's, before the file system is made of it. The overlay
# has brought the device's programs and settings already; accounts and presets come after this.
#
# Called by Buildroot: post-build.sh TARGET_DIR BOARD

set -eu
umask 022
target=$1
here=$(cd -- "$(dirname -- "$0")" && pwd)
project=$(cd -- "$here/../../.." && pwd)

"$project/systemd/install" "$target"

# Where the data partition and the boot partition are mounted, and the operator's configuration goes.
install -d -m 0755 "$target/data" "$target/boot/firmware" "$target/etc/tidegate"

# What the gateway calls itself: scripts/stage may have been told another than the project's.
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$target/usr/lib/tidegate/package.json")
cat >"$target/usr/lib/tidegate-release" <<RELEASE
VERSION=$version
BUILD_DATE=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%dT%H:%M:%SZ)
BOARD=arm64
RELEASE

if ! grep -q '^IMAGE_ID=tidegate$' "$target/usr/lib/os-release"; then
  cat >>"$target/usr/lib/os-release" <<RELEASE
VARIANT="Tidegate"
VARIANT_ID=tidegate
IMAGE_ID=tidegate
IMAGE_VERSION=$version
RELEASE
fi
# systemd never starts with a clock before this file's time.
touch "$target/usr/lib/clock-epoch"

# Each device makes its own at its first start.
echo uninitialized >"$target/etc/machine-id"

# Names that boot.cmd loads from the slot.
ln -sfn Image "$target/boot/vmlinuz"
"$here/make-initrd" "$target" "$target/boot/initrd.img"
