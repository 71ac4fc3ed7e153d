import { showConfig } from "./config/index.ts";
import type { RequestCode } from "./request-code.ts";

/**
 * The running configuration, secrets masked. What the caller should know about the stored one stands
 * beside `data`, in `config_status`, and only when there is something to know.
 */
export const getConfig: RequestCode = {
  req: 11,
  async handle({ services: { configuration } }) {
    const running = configuration.running();
    const data = showConfig(running, await configuration.pemTexts(running));
    const { restartPending, onTrial, confirmS, rolledBack } = configuration.status();
    if (!restartPending && !onTrial && rolledBack === null) return { data };
    return {
      data,
      notice: {
        config_status: {
          restart_pending: restartPending,
          on_trial: onTrial,
          confirm_within_s: confirmS,
          rolled_back:
            rolledBack === null
              ? null
              : { at: new Date(rolledBack.atMs).toISOString(), reason: rolledBack.reason },
        },
      },
    };
  },
};
