import type { FastifyServerOptions } from "fastify";

/** Longest path parameter: whatever fits into the request line Node accepts. */
const MAX_PARAM_CHARS = 16_384;

/** How fastify is set up for every dialect; a function, because fastify changes what it is given. */
export function appOptions(): FastifyServerOptions {
  return {
    logger: false,
    exposeHeadRoutes: false,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: MAX_PARAM_CHARS },
    ajv: {
      customOptions: {
        // Parameters are what the caller sent: nothing is converted or dropped. A default is filled in
        // where a schema has one.
        coerceTypes: false,
        useDefaults: true,
        removeAdditional: false,
        // A refusal names the value that does not fit.
        verbose: true,
        // The word of OpenAPI 3.0, which the documents are made from.
        keywords: ["example"],
        allowUnionTypes: true,
        strictTypes: false,
        // Schemas are compiled while MQTT goes on: polishing the code takes half of that time (18 of
        // 39 ms for the largest body) and gains nothing that a request would notice.
        code: { optimize: false },
      },
    },
  };
}
