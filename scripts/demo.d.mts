/** Types of demo.mjs, for the tests. */
export const demoConfiguration: string;

export function ensureDemoImage(): Promise<string>;
