import { join } from "node:path";
import { renderAlarmTable } from "../../src/alarms/index.ts";
import { SCHEMA } from "../../src/config/index.ts";
import { CATALOGUE, EXIT_CODE } from "../../src/errors/index.ts";
import { renderMetricTable } from "../../src/telemetry/index.ts";
import { boards, defconfigOf, renderDefconfig } from "./defconfigs.ts";
import { endpointTable } from "./endpoint-table.ts";
import { errorTable, exitCodeTable } from "./error-tables.ts";
import { operatorFile } from "./operator-file.ts";
import { optionTable } from "./option-table.ts";
import { withSection } from "./section.ts";

const ROOT = join(import.meta.dirname, "../..");

/** A file that is derived from the code, as a whole or between markers. */
export interface Generated {
  /** Path below the top of the repository. */
  readonly file: string;
  /** The whole new text, from the present one (empty where there is no file yet). */
  readonly render: (present: string) => string;
}

/** Everything that is generated; a part that has more to say adds a row. */
export const GENERATED: readonly Generated[] = [
  { file: "etc/tidegate.yaml", render: () => operatorFile(SCHEMA) },
  {
    file: "src/config/README.md",
    render: (present) => withSection(present, "options", optionTable(SCHEMA)),
  },
  {
    file: "src/errors/README.md",
    render: (present) =>
      withSection(
        withSection(present, "errors", errorTable(CATALOGUE)),
        "exit codes",
        exitCodeTable(EXIT_CODE),
      ),
  },
  {
    file: "src/alarms/README.md",
    render: (present) => withSection(present, "alarms", renderAlarmTable()),
  },
  {
    file: "src/api/emqx-v5/ENDPOINTS.md",
    render: () => endpointTable(ROOT),
  },
  {
    file: "src/telemetry/README.md",
    render: (present) => withSection(present, "metrics", renderMetricTable()),
  },
  ...boards(ROOT).map((board) => ({
    file: defconfigOf(board),
    render: () => renderDefconfig(ROOT, board),
  })),
];
