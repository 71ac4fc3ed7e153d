import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { FastifyInstance, FastifyReply } from "fastify";
import type { Route } from "../kit/index.ts";
import { openApiText } from "./document.ts";

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Tidegate API</title>
<link rel="stylesheet" href="/api-docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/api-docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/api-docs/swagger-ui-bundle.js"></script>
<script src="/api-docs/start.js"></script>
</body>
</html>
`;

/** The validator is somebody's server on the Internet, which a gateway need not have. */
const START = `SwaggerUIBundle({
  url: "/api-docs/swagger.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  docExpansion: "none",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
`;

/** Nothing of the page comes from elsewhere, and nothing it shows can make it. */
const POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

const ASSETS: Readonly<Record<string, string>> = {
  "swagger-ui.css": "text/css",
  "swagger-ui-bundle.js": "text/javascript",
  "favicon-32x32.png": "image/png",
};

/**
 * The API's documents below `/api-docs` (reference §5.14), without login: `swagger.json`, and Swagger
 * UI, whose files come with a package of fastify's.
 */
export function docsPages(app: FastifyInstance, routes: readonly Route[], version: string): void {
  let document: Promise<Buffer> | null = null;
  const send = (reply: FastifyReply, type: string, body: string | Buffer) =>
    reply
      .header("content-type", type)
      .header("cache-control", "no-cache")
      .header("content-security-policy", POLICY)
      .send(Buffer.from(body));

  app.get("/api-docs", (_, reply) => reply.redirect("/api-docs/index.html"));
  app.get("/api-docs/index.html", (_, reply) => send(reply, "text/html; charset=utf-8", PAGE));
  app.get("/api-docs/start.js", (_, reply) => send(reply, "text/javascript", START));
  app.get("/api-docs/swagger.json", async (_, reply) => {
    document ??= openApiText(routes, version).then((text) => Buffer.from(text));
    return send(reply, "application/json", await document);
  });
  const directory = join(
    dirname(fileURLToPath(import.meta.resolve("@fastify/swagger-ui/package.json"))),
    "static",
  );
  for (const [name, type] of Object.entries(ASSETS)) {
    app.get(`/api-docs/${name}`, async (_, reply) => {
      const path = join(directory, name);
      const { size } = await stat(path);
      return reply
        .header("content-type", type)
        .header("content-length", size)
        .header("cache-control", "max-age=86400")
        .send(createReadStream(path));
    });
  }
}
