# Chooses the root slot and starts its kernel. U-Boot's script on every board: `mmc` on a Raspberry Pi,
# `virtio` in QEMU. Compiled to boot.scr with mkimage -T script.
#
# The choice lives in two state blocks of 8 KiB, 512 and 768 KiB from the start of the card, in front of
# the first partition. Each is U-Boot's plain environment format: CRC-32 (little endian) of the rest,
# then NAME=value texts ended by NUL, sorted, filled up with NULs.
#
#   TIDEGATE_SEQ  counter of writes, hexadecimal, modulo 2^32; the valid block with the newer one counts
#   BOOT_ORDER    "A B" or "B A": which slot is asked first
#   BOOT_A_LEFT   attempts slot A has left, 0 to 9; one is used up by each start
#   BOOT_A_GOOD   1 once a start of slot A was found healthy, 0 on trial; BOOT_B_* likewise
#
# Whoever writes, writes the block that does not count, with the counter one higher: a write that power
# cuts short leaves the other block as it was. The system's end of it is /usr/lib/tidegate/boot-choice;
# both must understand every pair of blocks alike (test/update/boot-choice.test.ts).
#
# Only plain tests and no loops, so that U-Boot's old and new shells run it alike. setexpr counts in
# hexadecimal, and test takes 0x for it.

setenv tg_at_0 0x400
setenv tg_at_1 0x600
setenv tg_blocks 0x10
setenv tg_size 0x2000
# U-Boot for Raspberry Pi has the initrd so near to the kernel that one of more than 37 MiB, with the
# memory it clears at its start, would overwrite it. 96 MiB up, every board has memory, and nothing
# else is there: the firmware's device tree and U-Boot itself are near the end, and QEMU, where it
# stands in for the firmware, has the tree at 128 MiB.
if test "x${devtype}" = "xmmc"; then
  setenv ramdisk_addr_r 0x06000000
fi
setenv tg_buffer ${ramdisk_addr_r}

${devtype} dev ${devnum}

setenv tg_seq_0
setenv TIDEGATE_SEQ
if ${devtype} read ${tg_buffer} ${tg_at_0} ${tg_blocks}; then
  if env import -c ${tg_buffer} ${tg_size} TIDEGATE_SEQ; then
    setenv tg_seq_0 ${TIDEGATE_SEQ}
  fi
fi
setenv tg_seq_1
setenv TIDEGATE_SEQ
if ${devtype} read ${tg_buffer} ${tg_at_1} ${tg_blocks}; then
  if env import -c ${tg_buffer} ${tg_size} TIDEGATE_SEQ; then
    setenv tg_seq_1 ${TIDEGATE_SEQ}
  fi
fi

# Newer: ahead by less than half the circle. Of two alike the first counts.
setenv tg_newest
if test -n "${tg_seq_0}"; then
  setenv tg_newest 0
fi
if test -n "${tg_seq_1}"; then
  if test -n "${tg_seq_0}"; then
    setexpr tg_ahead 0x${tg_seq_1} - 0x${tg_seq_0}
    setexpr tg_ahead 0x${tg_ahead} "&" 0xffffffff
    if test 0x${tg_ahead} -gt 0; then
      if test 0x${tg_ahead} -lt 0x80000000; then
        setenv tg_newest 1
      fi
    fi
  else
    setenv tg_newest 1
  fi
fi

setenv TIDEGATE_SEQ 0
setenv BOOT_ORDER
setenv BOOT_A_LEFT
setenv BOOT_B_LEFT
setenv BOOT_A_GOOD
setenv BOOT_B_GOOD
setenv tg_write_at ${tg_at_0}
if test "x${tg_newest}" = "x0"; then
  setenv tg_write_at ${tg_at_1}
  ${devtype} read ${tg_buffer} ${tg_at_0} ${tg_blocks}
fi
if test "x${tg_newest}" = "x1"; then
  ${devtype} read ${tg_buffer} ${tg_at_1} ${tg_blocks}
fi
if test -n "${tg_newest}"; then
  env import -c ${tg_buffer} ${tg_size} TIDEGATE_SEQ BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT BOOT_A_GOOD BOOT_B_GOOD
else
  echo "tidegate: no valid boot state, starting with slot A"
fi
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3
test -n "${BOOT_A_GOOD}" || setenv BOOT_A_GOOD 0
test -n "${BOOT_B_GOOD}" || setenv BOOT_B_GOOD 0

setenv tg_second B
if test "x${BOOT_ORDER}" = "xB A"; then
  setenv tg_second A
else
  setenv BOOT_ORDER "A B"
fi

# The first in order with attempts left. The second is looked at first, and the first overrules it.
setenv tg_slot
if test "x${tg_second}" = "xB"; then
  if test 0x${BOOT_B_LEFT} -gt 0; then setenv tg_slot B; fi
  if test 0x${BOOT_A_LEFT} -gt 0; then setenv tg_slot A; fi
else
  if test 0x${BOOT_A_LEFT} -gt 0; then setenv tg_slot A; fi
  if test 0x${BOOT_B_LEFT} -gt 0; then setenv tg_slot B; fi
fi

if test "x${tg_slot}" = "xA"; then
  setexpr BOOT_A_LEFT 0x${BOOT_A_LEFT} - 1
  setenv tg_part 2
fi
if test "x${tg_slot}" = "xB"; then
  setexpr BOOT_B_LEFT 0x${BOOT_B_LEFT} - 1
  setenv tg_part 3
fi
if test -z "${tg_slot}"; then
  # Neither is known to be good any more, so that a system that comes up does not reboot in favour of
  # the other one.
  echo "tidegate: no slot has attempts left, starting over"
  setenv BOOT_A_LEFT 3
  setenv BOOT_B_LEFT 3
  setenv BOOT_A_GOOD 0
  setenv BOOT_B_GOOD 0
fi

setexpr TIDEGATE_SEQ 0x${TIDEGATE_SEQ} + 1
setexpr TIDEGATE_SEQ 0x${TIDEGATE_SEQ} "&" 0xffffffff
env export -c -s ${tg_size} ${tg_buffer} TIDEGATE_SEQ BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT BOOT_A_GOOD BOOT_B_GOOD
${devtype} write ${tg_buffer} ${tg_write_at} ${tg_blocks}
if test -z "${tg_slot}"; then
  reset
fi

echo "tidegate: starting slot ${tg_slot} (A ${BOOT_A_LEFT} left, B ${BOOT_B_LEFT} left)"
if test "x${devtype}" = "xmmc"; then
  setenv tg_root /dev/mmcblk${devnum}p${tg_part}
  # The last one is /dev/console: the serial line, where nothing is lost without a screen. ttyAMA10 is
  # that of the Pi 5, which has no ttyS1; the kernel passes over what is not there.
  setenv tg_console "console=tty1 console=ttyAMA10,115200 console=ttyS1,115200"
else
  setenv tg_root /dev/vda${tg_part}
  setenv tg_console "console=ttyAMA0"
fi
# By the partition's own name where U-Boot can tell it: Linux numbers the card and the radio, which hang
# at two hosts of the same kind, in the order they answer.
setenv tg_uuid
part uuid ${devtype} ${devnum}:${tg_part} tg_uuid
if test -n "${tg_uuid}"; then
  setenv tg_root PARTUUID=${tg_uuid}
fi
# A Raspberry Pi's firmware has passed a device tree at fdt_addr; QEMU's is U-Boot's own.
test -n "${fdt_addr}" || setenv fdt_addr ${fdtcontroladdr}
setenv bootargs "root=${tg_root} ro rauc.slot=${tg_slot} ${tg_console} panic=10"
if load ${devtype} ${devnum}:${tg_part} ${kernel_addr_r} /boot/vmlinuz; then
  if load ${devtype} ${devnum}:${tg_part} ${ramdisk_addr_r} /boot/initrd.img; then
    booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}
  fi
fi
echo "tidegate: slot ${tg_slot} cannot be loaded"
reset
