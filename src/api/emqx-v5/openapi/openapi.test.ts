import { createConfig, lintFromString } from "@redocly/openapi-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../../test-api.testing.ts";

interface Document {
  readonly openapi: string;
  readonly servers: unknown;
  readonly security: unknown;
  readonly components: { readonly securitySchemes: Record<string, unknown> };
  readonly paths: Record<string, Record<string, Operation>>;
}
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security?: readonly unknown[];
  readonly responses: Record<string, unknown>;
}

let api: TestApi;
let text: string;
let document: Document;

beforeAll(async () => {
  api = await createTestApi();
  text = (await api.app.inject("/api-docs/swagger.json")).body;
  document = JSON.parse(text) as Document;
});

afterAll(() => api.close());

test("the document is OpenAPI 3.0.0 with the base path and both logins", () => {
  expect(document.openapi).toBe("3.0.0");
  expect(document.servers).toEqual([{ url: "/api/v5" }]);
  expect(document.security).toEqual([{ basicAuth: [] }, { bearerAuth: [] }]);
  expect(document.components.securitySchemes).toMatchObject({
    basicAuth: { type: "http", scheme: "basic" },
    bearerAuth: { type: "http", scheme: "bearer" },
  });
});

test("a public linter finds no error in it", async () => {
  const config = await createConfig({ extends: ["recommended"] });
  const problems = await lintFromString({ source: text, absoluteRef: "swagger.json", config });
  const errors = problems.filter(({ severity }) => severity === "error");
  expect(
    errors.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer]),
  ).toEqual([]);
});

test("every operation has an id of its own, a summary, and its login", () => {
  const operations = Object.values(document.paths).flatMap((item) => Object.values(item));
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  expect(operations.filter(({ summary }) => summary === "")).toEqual([]);
  expect(document.paths["/login"]?.["post"]?.security).toEqual([]);
  expect(document.paths["/users"]?.["get"]?.security).toEqual([{ bearerAuth: [] }]);
  expect(document.paths["/nodes"]?.["get"]?.security).toBeUndefined();
});

test("aliases for old clients are not in the document", () => {
  expect(document.paths["/users/{username}/change_pwd"]).toHaveProperty("post");
  expect(document.paths["/users/{username}/change_pwd"]).not.toHaveProperty("put");
});

test("the page and all it loads come from the gateway itself", async () => {
  const redirect = await api.app.inject("/api-docs");
  expect([redirect.statusCode, redirect.headers["location"]]).toEqual([
    302,
    "/api-docs/index.html",
  ]);
  const page = await api.app.inject("/api-docs/index.html");
  expect(page.headers["content-type"]).toContain("text/html");
  const links = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link ?? "");
  expect(links.length).toBeGreaterThan(3);
  for (const link of links) {
    expect(link).toMatch(/^\/api-docs\//);
    const reply = await api.app.inject(link);
    expect([link, reply.statusCode]).toEqual([link, 200]);
    expect(reply.rawPayload.length).toBeGreaterThan(100);
  }
  expect(page.headers["content-security-policy"]).toContain("default-src 'self'");
});

test("dashboard.swagger_support: false takes page and document away", async () => {
  const other = await createTestApi({ dashboard: { swagger_support: false } });
  for (const path of ["", "/", "/index.html", "/swagger.json", "/swagger-ui-bundle.js"]) {
    expect((await other.app.inject(`/api-docs${path}`)).statusCode).toBe(404);
  }
  await other.close();
});
