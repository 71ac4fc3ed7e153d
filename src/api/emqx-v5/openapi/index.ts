export { openApiText } from "./document.ts";
export { docsPages } from "./pages.ts";
