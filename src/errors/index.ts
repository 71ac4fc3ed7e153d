export type { ErrorCode, ErrorDetails } from "./catalogue.ts";
export { CATALOGUE } from "./catalogue.ts";
export type { ExitCode } from "./exit-code.ts";
export { EXIT_CODE } from "./exit-code.ts";
export { GatewayError, isGatewayError, reasonOf } from "./gateway-error.ts";
