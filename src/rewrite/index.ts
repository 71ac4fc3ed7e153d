export type { Rewrite, RewriteClient, RewriteRule } from "./rewrite.ts";
export { createRewrite } from "./rewrite.ts";
