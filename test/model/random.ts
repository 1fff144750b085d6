/** Numbers that look random and are the same for the same seed (a linear congruential generator, high bits). */
export interface Random {
  /** An integer from 0 to `limit - 1`. */
  below(limit: number): number;
}

export function createRandom(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  return {
    below(limit) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    },
  };
}
