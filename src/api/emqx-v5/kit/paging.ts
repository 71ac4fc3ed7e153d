import { createTurns } from "../../turns.ts";

/** Query schema members of the page style (reference §3.1). */
export const PAGE_QUERY = {
  page: {
    type: "integer",
    minimum: 1,
    default: 1,
    description: "Number of the page.",
    example: 1,
  },
  limit: {
    type: "integer",
    minimum: 1,
    maximum: 10_000,
    default: 100,
    description: "Rows of a page.",
    example: 100,
  },
} as const;

/** The schema of `{data: [row, …], meta}`. */
export function pageSchema<const S>(row: S) {
  return {
    type: "object",
    properties: {
      data: { type: "array", items: row },
      meta: {
        type: "object",
        properties: {
          page: { type: "integer", description: "This page.", example: 1 },
          limit: { type: "integer", description: "Rows of a full page.", example: 100 },
          count: {
            type: "integer",
            description: "Matching rows of all pages; left out where nobody has counted them.",
            example: 1,
          },
          hasnext: { type: "boolean", description: "Whether there is a row after this page." },
        },
        required: ["page", "limit", "hasnext"],
      },
    },
    required: ["data", "meta"],
  } as const;
}

export interface PageOptions<T, R> {
  /** False leaves `meta.count` out, and the walk ends one row after the page. */
  readonly isCountKnown: boolean;
  /** The number of rows where it is known without walking; nothing may be left out then. */
  readonly count?: number;
  /** Which rows count. */
  where?(row: T): boolean;
  /**
   * What is shown of a row. Without `where` it is asked for every row passed, and undefined leaves
   * the row out; with `where` (or `count`) it is asked for the rows of the page only.
   */
  pick?(row: T): R | undefined;
}

export interface Page<R> {
  readonly data: R[];
  readonly meta: {
    readonly page: number;
    readonly limit: number;
    readonly count?: number;
    readonly hasnext: boolean;
  };
}

/**
 * One page of `rows`, in their order: the walk gives the event loop turns, and only the rows of the
 * page are kept. A page past the end is empty.
 */
export async function paginate<T, R = T>(
  rows: Iterable<T> | AsyncIterable<T>,
  query: { readonly page?: number; readonly limit?: number },
  options: PageOptions<T, R>,
): Promise<Page<R>> {
  const { page = 1, limit = 100 } = query;
  const { where } = options;
  // Without `pick` rows are shown as they are: R is T then.
  const pick = (row: T) => (options.pick === undefined ? (row as unknown as R) : options.pick(row));
  const isFilter = where === undefined && options.count === undefined;
  const isCounting = options.isCountKnown && options.count === undefined;
  const first = (page - 1) * limit;
  const data: R[] = [];
  let passed = 0;

  /** False ends the walk. */
  const visit = (row: T): boolean => {
    if (where !== undefined && !where(row)) return true;
    const isOnPage = passed >= first && passed < first + limit;
    if (isFilter || isOnPage) {
      const shown = pick(row);
      if (shown === undefined && isFilter) return true;
      if (isOnPage && shown !== undefined) data.push(shown);
    }
    passed += 1;
    return isCounting || passed <= first + limit;
  };

  const turns = createTurns();
  if (Symbol.asyncIterator in rows) {
    for await (const row of rows) {
      if (!visit(row)) break;
      if (turns.isDue()) await turns.take();
    }
  } else {
    for (const row of rows) {
      if (!visit(row)) break;
      if (turns.isDue()) await turns.take();
    }
  }
  const count = options.count ?? passed;
  return {
    data,
    meta: {
      page,
      limit,
      ...(options.isCountKnown ? { count } : {}),
      hasnext: passed > first + limit,
    },
  };
}
