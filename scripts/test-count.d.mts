/** Types of test-count.mjs, for its tests. */
export function count(run: {
  readonly report: {
    readonly numPassedTests: number;
    readonly numFailedTests: number;
    readonly testResults: readonly {
      readonly name: string;
      readonly status: string;
      readonly message?: string;
      readonly assertionResults: readonly { readonly status: string }[];
    }[];
  } | null;
  readonly vitestCode: number | null;
  readonly failedChecks: readonly string[];
}): { readonly passed: number; readonly failed: number; readonly reasons: readonly string[] };
