/** Tidegate's own member of EMQX's answers: how the board is. */
export const DEVICE = {
  type: "object",
  additionalProperties: true,
  description:
    "Every device metric by name, one value or one per member; a missing sensor is null. Not of EMQX.",
  example: { temperature_c: 48.7, disk_written_bytes: { mmcblk0: 662_700_032 } },
} as const;
