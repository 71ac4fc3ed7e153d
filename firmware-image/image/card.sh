# shellcheck shell=bash
# File systems and the card. Everything is written into files, nothing is mounted, and every number
# that programs would make up is given, so that the same content becomes the same bytes. To be sourced
# after cache.sh and debian.sh.

readonly MIB=$((1024 * 1024))
# Start and size of the partitions, in MiB. In front of the first one lie the two blocks of the boot
# choice, 512 and 768 KiB from the start (firmware-image/boot/boot.cmd). Multiples of 4 MiB suit the
# erase blocks of memory cards.
readonly BOOT_AT=4 BOOT_SIZE=64
readonly SLOT_SIZE=512
readonly SLOT_A_AT=$((BOOT_AT + BOOT_SIZE))
readonly SLOT_B_AT=$((SLOT_A_AT + SLOT_SIZE))
readonly DATA_AT=$((SLOT_B_AT + SLOT_SIZE)) DATA_SIZE=64
readonly CARD_SIZE=$((DATA_AT + DATA_SIZE))

# "TGAT": in the partition table, so that PARTUUID=54474154-02 is slot A. A volume number for FAT.
readonly DISK_SIGNATURE=54474154
readonly VOLUME_ID=$DISK_SIGNATURE
readonly UUID_PREFIX=54474154-6964-4567-8174

# Neither hashes nor identities may be random. Features that Debian 12's tools do not know are off, so
# that a card can be looked at on such a machine.
ext4() {
  local label=$1 number=$2 size=$3 file=$4
  shift 4
  rm -f -- "$file"
  truncate --size="${size}M" "$file"
  tool usr/sbin/mke2fs -q -t ext4 -L "$label" -U "$UUID_PREFIX-00000000000$number" \
    -E "lazy_itable_init=0,lazy_journal_init=0,hash_seed=$UUID_PREFIX-10000000000$number" "$@" "$file"
}

# The files of a tree as mke2fs reads them: sorted, by numbers, all with the time of the build. Limiting
# times to it would not do: a step kept since before the newest commit has older ones, this machine's.
archive() {
  tar --create --file "$2" --directory "$1" --format=posix --sort=name --numeric-owner \
    --xattrs --xattrs-include='*' --mtime="@$epoch" \
    --pax-option='delete=atime,delete=ctime' .
}

# make_slot TREE FILE: a root slot. Without a journal: nothing ever writes to it.
make_slot() {
  archive "$1" "$work/slot.tar"
  # 65536 files: the default, by size, is half of it and near to what is there.
  ext4 rootfs 2 "$SLOT_SIZE" "$2" -m 0 -N 65536 -O ^has_journal,^metadata_csum_seed,^orphan_file \
    -d "$work/slot.tar" ||
    fail "the root file system does not fit a slot of $SLOT_SIZE MiB"
  rm -- "$work/slot.tar"
}

# What the boards' firmware reads, U-Boot, and its script. No overlays of Raspberry Pi's: they are made
# for the device trees of its own kernel.
collect_boot_files() {
  local into=$1 firmware=$unpacked/tree/usr/lib/raspi-firmware
  mkdir -- "$into"
  cp -- "$firmware"/{bootcode.bin,start.elf,fixup.dat,start4.elf,fixup4.dat} "$into"
  cp -- "$unpacked"/tree/usr/lib/linux-image-*/broadcom/bcm{2711,2712,2837}-*rpi-*.dtb "$into"
  cp -- "$unpacked/tree/usr/lib/u-boot/rpi_arm64/u-boot.bin" "$into"
  cp -- "$root/firmware-image/boot/config.txt" "$into"
  cp -- "$unpacked/tree/usr/share/doc/raspi-firmware/copyright" "$into/LICENCE.firmware.txt"
  cp -- "$unpacked/tree/usr/share/doc/u-boot-rpi/copyright" "$into/LICENCE.u-boot.txt"
  mkimage -q -A arm64 -T script -C none -n tidegate -d "$root/firmware-image/boot/boot.cmd" "$into/boot.scr" >/dev/null
  if [[ $kernel == backports ]]; then make_overlay "$into"; fi
}

# The overlay for boards with the second stepping of the Pi 5's processor.
make_overlay() {
  local files=$1
  mkdir -- "$files/overlays"
  dtc -q -I dts -O dtb -o "$files/overlays/bcm2712d0.dtbo" "$root/firmware-image/boot/bcm2712d0.dts"
  fdtoverlay -i "$files/bcm2712-rpi-5-b.dtb" -o "$work/second.dtb" "$files/overlays/bcm2712d0.dtbo"
  diff -- <(dtc -q -s -I dtb -O dts "$work/second.dtb") \
    <(dtc -q -s -I dtb -O dts "$files/bcm2712-d-rpi-5-b.dtb") >&2 ||
    fail "firmware-image/boot/bcm2712d0.dts does not make Linux' own tree for the second stepping (above: >)"
}

# What each board's start reads, by name, and the drivers it needs: a new package version may have moved
# or changed them.
check_boards() {
  local files=$1 need
  local -a second=()
  if [[ $kernel == backports ]]; then second=(bcm2712-d-rpi-5-b.dtb overlays/bcm2712d0.dtbo); fi
  for need in bootcode.bin start.elf fixup.dat start4.elf fixup4.dat u-boot.bin config.txt boot.scr \
    bcm2837-rpi-{3-b,3-b-plus,3-a-plus,zero-2-w}.dtb bcm2711-rpi-{4-b,400,cm4-io}.dtb bcm2712-rpi-5-b.dtb "${second[@]}"; do
    [[ -s $files/$need ]] || fail "the boot partition misses $need"
  done
  for need in raspberrypi,{3-model-b,3-model-b-plus,model-zero-2-w,4-model-b,5-model-b}; do
    compgen -G "$base/tree/usr/lib/firmware/brcm/brcmfmac434*-sdio.$need.txt" >/dev/null ||
      fail "the root misses the Wi-Fi settings of $need"
  done
  "$root/node_modules/.bin/node" "$root/firmware-image/image/check-drivers.ts" --trees "$files" \
    --aliases "$base/modules.alias" --initrd "$initrd/modules.load" --modules "$base/tree/usr/lib/modules" \
    --boards "$boards" ||
    fail "boards miss drivers: see firmware-image/debian/modules.keep and firmware-image/initrd/modules"
}

make_boot() {
  local files=$work/boot file=$1
  collect_boot_files "$files"
  check_boards "$files"
  find "$files" -exec touch --no-dereference --date="@$epoch" -- {} +
  rm -f -- "$file"
  truncate --size="${BOOT_SIZE}M" "$file"
  # In this order: --invariant sets a number of its own.
  mkfs.vfat -F 32 -n TIDEGATE --invariant -i "$VOLUME_ID" "$file" >/dev/null
  # In a fixed order, not in that of the folder on this machine. mtools takes SOURCE_DATE_EPOCH for the
  # times it makes up itself.
  (
    cd -- "$files"
    printf '%s\0' * | xargs --null sh -c 'exec mcopy -s -m -i "$0" "$@" ::' "$file"
  )
}

# Grown to the end of the card at the first boot.
make_data() {
  ext4 data 4 "$DATA_SIZE" "$1" -m 1 -O ^metadata_csum_seed,^orphan_file
}

# make_card BOOT SLOT DATA FILE. Slot B stays empty until the first update: half the size to flash.
make_card() {
  local file=$4
  rm -f -- "$file"
  truncate --size="${CARD_SIZE}M" "$file"
  # The ROM of Pi 3 and Zero 2 W reads MBR and FAT only.
  sfdisk --quiet --no-reread --no-tell-kernel "$file" <<TABLE
label: dos
label-id: 0x$DISK_SIGNATURE
unit: sectors
grain: 4M
start=$((BOOT_AT * MIB / 512)), size=$((BOOT_SIZE * MIB / 512)), type=c, bootable
start=$((SLOT_A_AT * MIB / 512)), size=$((SLOT_SIZE * MIB / 512)), type=83
start=$((SLOT_B_AT * MIB / 512)), size=$((SLOT_SIZE * MIB / 512)), type=83
start=$((DATA_AT * MIB / 512)), size=$((DATA_SIZE * MIB / 512)), type=83
TABLE
  local at
  for at in "$1 $BOOT_AT" "$2 $SLOT_A_AT" "$3 $DATA_AT"; do
    dd if="${at% *}" of="$file" bs=1M seek="${at#* }" conv=notrunc,sparse status=none
  done
}
