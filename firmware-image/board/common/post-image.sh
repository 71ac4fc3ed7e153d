#!/bin/sh
# Makes the image of the whole card out of what Buildroot has built: as scripts/build-image does, with
# the same layout.
#
# Called by Buildroot: post-image.sh BINARIES_DIR BOARD

set -eu
binaries=$1
board=$2
here=$(cd -- "$(dirname -- "$0")" && pwd)
parts=$(cd -- "$here/../.." && pwd)
tools=$HOST_DIR/bin
# mkfs.fat and mke2fs.
admin_tools=$HOST_DIR/sbin

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
mkdir "$work/boot" "$work/empty"

"$tools/mkimage" -q -A arm64 -T script -C none -n tidegate -d "$parts/boot/boot.cmd" \
  "$work/boot/boot.scr" >/dev/null
case $board in
  rpi)
    cp -R "$binaries/rpi-firmware/." "$work/boot/"
    cp "$binaries"/*.dtb "$binaries/u-boot.bin" "$work/boot/"
    cp "$parts/boot/config.txt" "$work/boot/"
    # The kernel's command line comes from boot.cmd.
    rm -f "$work/boot/cmdline.txt"
    ;;
  qemu) ;;
  *)
    echo "post-image.sh: $board is no board" >&2
    exit 1
    ;;
esac

# FAT32, 64 MiB. Nothing comes from the clock, and the number is given after --invariant, which sets
# one of its own.
rm -f "$binaries/boot.vfat"
truncate -s 64M "$binaries/boot.vfat"
"$admin_tools/mkfs.fat" -F 32 -n TIDEGATE --invariant -i 54474154 "$binaries/boot.vfat" >/dev/null
MTOOLS_SKIP_CHECK=1 "$tools/mcopy" -s -p -i "$binaries/boot.vfat" "$work/boot"/* ::

# Empty, until the first start lets it grow to the end of the card.
rm -f "$binaries/data.ext4"
truncate -s 64M "$binaries/data.ext4"
"$admin_tools/mke2fs" -q -t ext4 -L data -m 1 -O ^metadata_csum_seed,^orphan_file \
  "$binaries/data.ext4"

# Given an empty root: it copies what it is given.
"$tools/genimage" --rootpath "$work/empty" --tmppath "$work/genimage" \
  --inputpath "$binaries" --outputpath "$binaries" --config "$here/genimage.cfg"
