/** What EMQX's clients are told: the release whose API this is. They parse it as a semantic version. */
export const API_VERSION = "5.8.4";
