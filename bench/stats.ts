/** Numbers of one measured thing, in the order in which they were taken. */
export interface Series {
  readonly name: string;
  readonly values: readonly number[];
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/**
 * Ratios round by round (both sides of a round ran side by side in time, so the machine's noise hits both), as
 * median and spread.
 */
export function ratio(of: readonly number[], over: readonly number[]) {
  const ratios = of.map((value, round) => value / over[round]!);
  return { median: median(ratios), low: quantile(ratios, 0.1), high: quantile(ratios, 0.9) };
}

export function line(series: Series, unit: string): string {
  const [low, mid, high] = [0.1, 0.5, 0.9].map((q) => quantile(series.values, q).toFixed(1));
  return `${series.name.padEnd(34)} ${mid!.padStart(8)} ${unit}   (10-90 %: ${low} - ${high}; n=${series.values.length})`;
}
