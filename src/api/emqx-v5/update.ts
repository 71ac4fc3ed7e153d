import type { Services, UpdateResult } from "../../services/index.ts";
import { ApiError, accepted, ok, type Route, route } from "./kit/index.ts";

/** What these operations are made of. */
export type UpdateServices = Pick<Services, "updates" | "statistics">;

const TEST = "src/api/emqx-v5/update.test.ts";

const VERSION = { type: ["string", "null"], example: "1.4.0" } as const;

const RESULT = {
  type: "object",
  properties: {
    state: {
      type: "string",
      description:
        "checking, installing, installed (starts with the next reboot), rebooting, trial (runs, and is being looked at); succeeded, refused (nothing was changed), failed (the version before runs), fell_back (it ran, was not healthy, and the version before is back).",
      example: "succeeded",
    },
    progress: { type: "integer", description: "Percent of the installation.", example: 100 },
    from: { ...VERSION, description: "The version that ran." },
    to: { ...VERSION, description: "The version of the update." },
    source: { type: ["string", "null"], description: "api, cli or usb.", example: "api" },
    error: { type: ["string", "null"], description: "Why it did not succeed." },
    at: { type: ["string", "null"], example: "2026-11-22T10:00:00Z" },
  },
  required: ["state", "progress", "from", "to", "source", "error", "at"],
} as const;

const MOMENT = { type: ["string", "null"], example: "2026-11-22T10:05:00Z" } as const;

const LAST = {
  ...RESULT,
  type: ["object", "null"],
  description: "The update under way, or the last one.",
  properties: {
    ...RESULT.properties,
    trial: {
      type: ["object", "null"],
      description: "What a new version that runs on trial waits for; null otherwise.",
      properties: {
        since: { ...MOMENT, description: "When the trial of this start began." },
        until: {
          ...MOMENT,
          description: "When it is kept if all stays well; null while something is wrong.",
        },
        latest: { ...MOMENT, description: "When it has failed." },
        waiting_for: {
          type: ["string", "null"],
          example: "300 s in which everything stays healthy",
        },
      },
      required: ["since", "until", "latest", "waiting_for"],
    },
  },
  required: [...RESULT.required, "trial"],
} as const;

const SLOT = {
  type: "object",
  properties: {
    name: { type: "string", example: "A" },
    version: VERSION,
    running: { type: "boolean" },
    next: { type: "boolean", description: "The next start takes it." },
    committed: { type: "boolean", description: "A start of it was found healthy." },
    attempts_left: { type: "integer", description: "Starts it may still be given.", example: 6 },
  },
  required: ["name", "version", "running", "next", "committed", "attempts_left"],
} as const;

const USB_STICK = {
  type: "object",
  properties: {
    device: { type: "string", example: "sda1" },
    message: { type: "string", example: "taking tidegate-1.4.0-arm64.raucb" },
    at: { type: ["string", "null"], example: "2026-11-22T10:00:00Z" },
  },
  required: ["device", "message", "at"],
} as const;

const STATUS = {
  type: "object",
  properties: {
    version: { type: "string", description: "The version that runs.", example: "1.4.0" },
    slots: { type: "array", items: SLOT },
    handing_over: {
      type: "boolean",
      description: "An update is coming in, or waits for the system to take it.",
    },
    last: LAST,
    history: { type: "array", items: RESULT, description: "How updates ended, newest first." },
    usb: {
      type: "array",
      items: USB_STICK,
      description: "What became of USB sticks since the device was started, newest first.",
    },
  },
  required: ["version", "slots", "handing_over", "last", "history", "usb"],
} as const;

/** `/update`: Tidegate's own, EMQX has nothing like it. */
export function updateRoutes({ updates, statistics }: UpdateServices): readonly Route[] {
  const described = { path: "/update", tag: "Updates", section: "own", priority: "P1" } as const;
  return [
    route({
      ...described,
      method: "GET",
      summary: "The device's versions and updates",
      description: "404 where the gateway does not run on an appliance.",
      test: TEST,
      schema: { answers: { 200: STATUS } },
      async handle() {
        const { slots, isHandingOver, last, history, usbSticks } = await updates.view();
        return ok({
          version: statistics.node().version,
          slots: slots.map((slot) => ({
            name: slot.name,
            version: slot.version,
            running: slot.isRunning,
            next: slot.isNext,
            committed: slot.isCommitted,
            attempts_left: slot.attemptsLeft,
          })),
          handing_over: isHandingOver,
          last: last === null ? null : { ...shown(last), trial: trialOf(last) },
          history: history.map(shown),
          usb: usbSticks,
        });
      },
    }),
    route({
      ...described,
      method: "POST",
      summary: "Install an update",
      description:
        "The body is the bundle, `tidegate-<version>-arm64.raucb`, as it is or as a file of a form. The answer says that it is handed over to the system, which checks it, installs it into the other slot and reboots; `GET /update` tells what becomes of it. For administrators. 409 while another update is under way.",
      test: TEST,
      consumes: ["stream", "file"],
      schema: {
        query: {
          type: "object",
          properties: {
            allow_downgrade: {
              type: "boolean",
              default: false,
              description: "Take an older version too, or the same again.",
            },
            reboot: {
              type: "boolean",
              default: true,
              description: "Reboot into it by itself; otherwise it starts with the next reboot.",
            },
          },
        },
        body: { type: "string", format: "binary" },
        answers: {
          202: {
            type: "object",
            properties: {
              state: { type: "string", example: "handed_over" },
              bytes: {
                type: "integer",
                description: "Length of the bundle.",
                example: 230_000_000,
              },
            },
            required: ["state", "bytes"],
          },
        },
      },
      async handle({ query, upload, caller }) {
        if (caller.role !== "administrator") {
          throw new ApiError(403, "UNAUTHORIZED_ROLE", "only administrators may update the device");
        }
        if (upload === null) throw new ApiError(400, "BAD_REQUEST", "the body is missing");
        const { allow_downgrade: allowDowngrade = false, reboot = true } = query;
        const bytes = await updates.receive(upload, { allowDowngrade, reboot });
        return accepted({ state: "handed_over", bytes });
      },
    }),
  ];
}

function shown({ progressPercent, trial: _, ...result }: UpdateResult) {
  return { ...result, progress: progressPercent };
}

function trialOf({ trial }: UpdateResult) {
  if (trial === null) return null;
  const { waitingFor, ...moments } = trial;
  return { ...moments, waiting_for: waitingFor };
}
