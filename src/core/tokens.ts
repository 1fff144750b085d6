import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from './clock.ts';
import { SpawnerError } from './errors.ts';
import type { Log } from './log.ts';

/** What a token can allow, each declared once; the reference page is made from here. */
export const scopes = {
  read: 'see containers, their logs and events, and what was',
  spawn: 'ask for containers, and wake, extend, label, put to sleep and stop them',
  admin: 'everything, and the making of tokens',
} as const;

export type Scope = keyof typeof scopes;

/** A token that was made through the API, without its secret, which nobody has but its owner. */
export interface Token {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Whose containers it sees and touches; null: everybody's. */
  readonly users: readonly string[] | null;
  readonly createdAtMs: number;
  /** null: never. */
  readonly expiresAtMs: number | null;
  readonly lastUsedAtMs: number | null;
}

export interface StoredToken extends Token {
  /** SHA-256 of the secret. */
  readonly digest: Buffer;
}

/** Where tokens are kept. Calls are committed when they return, and throw LedgerError where nothing could be. */
export interface TokenLedger {
  list(): StoredToken[];
  add(token: StoredToken): void;
  remove(id: string): void;
  /** When tokens were last used, by id, in milliseconds since 1970. */
  noteUses(uses: ReadonlyMap<string, number>): void;
}

/** Whoever makes a call, as far as it decides what the call may do. */
export interface Caller {
  /** Tells callers apart; null: no token exists, so nobody needs one. */
  readonly key: string | null;
  readonly scopes: ReadonlySet<Scope>;
  /** Whose containers the caller sees and touches; null: everybody's. */
  readonly users: ReadonlySet<string> | null;
}

export type Identity =
  | { readonly kind: 'known'; readonly caller: Caller }
  | { readonly kind: 'missing' | 'wrong' | 'expired' };

export interface Tokens {
  /** Whose secret this is; null: none was sent. */
  identify(secret: Buffer | null): Identity;
  list(): Token[];
  /** The secret is in this answer and nowhere else. */
  create(wish: Pick<Token, 'name' | 'scopes' | 'users' | 'expiresAtMs'>): { token: Token; secret: string };
  /** Throws SpawnerError `unknown_token`. */
  remove(id: string): void;
  /** `api_tokens` after a reload: secrets of administrators. */
  setAdministrators(secrets: readonly string[]): void;
  /** Writes down what is not written yet. */
  close(): void;
}

/**
 * Tokens are random and have 256 bits, so that a plain SHA-256 keeps them as well as a slow hash would: that one
 * makes guesses costly, and there is nothing to guess. It costs two microseconds a call and not fifty milliseconds.
 */
export function createTokens(options: {
  readonly ledger: TokenLedger;
  /** `api_tokens`. */
  readonly administrators: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}): Tokens {
  const { ledger, clock, log } = options;
  const stored = new Map(ledger.list().map((token) => [token.id, token]));
  const uses = new Map<string, number>();
  let administrators: readonly Buffer[] = [];
  let cancelWrite: (() => void) | null = null;
  setAdministrators(options.administrators);

  function setAdministrators(secrets: readonly string[]): void {
    administrators = secrets.map((secret) => digestOf(Buffer.from(secret)));
  }

  function identify(secret: Buffer | null): Identity {
    if (administrators.length === 0 && stored.size === 0) return { kind: 'known', caller: anybody };
    if (secret === null) return { kind: 'missing' };
    const digest = digestOf(secret);
    const admin = administratorWith(digest);
    if (admin !== null) {
      return { kind: 'known', caller: { key: `api_tokens:${admin}`, scopes: allScopes, users: null } };
    }
    const token = tokenWith(secret, digest);
    if (!token) return { kind: 'wrong' };
    if (token.expiresAtMs !== null && token.expiresAtMs <= clock.wallMs()) return { kind: 'expired' };
    noteUse(token.id);
    return { kind: 'known', caller: callerOf(token) };
  }

  /** Every digest is compared, each in constant time: how long it takes tells neither which matches nor how much. */
  function administratorWith(digest: Buffer): number | null {
    let found: number | null = null;
    administrators.forEach((known, index) => {
      if (timingSafeEqual(known, digest)) found = index;
    });
    return found;
  }

  /** Found by the id in it, which is no secret, so that ten thousand tokens cost what one does. */
  function tokenWith(secret: Buffer, digest: Buffer): StoredToken | null {
    const id = /^dsp_([0-9a-f]{12})_/.exec(secret.toString('latin1'))?.[1];
    const token = id === undefined ? undefined : stored.get(id);
    const matches = timingSafeEqual(token?.digest ?? noDigest, digest);
    return token && matches ? token : null;
  }

  /** Written a while later, all at once: a commit for each call would cost more than most calls. */
  function noteUse(id: string): void {
    uses.set(id, Math.floor(clock.wallMs()));
    cancelWrite ??= clock.after(writeUsesAfterMs, writeUses);
  }

  function writeUses(): void {
    cancelWrite?.();
    cancelWrite = null;
    if (uses.size === 0) return;
    try {
      ledger.noteUses(uses);
      for (const [id, lastUsedAtMs] of uses) {
        const token = stored.get(id);
        if (token) stored.set(id, { ...token, lastUsedAtMs });
      }
      uses.clear();
    } catch (error) {
      log.warn({ err: error }, 'could not write down when tokens were used');
    }
  }

  return {
    identify,
    list: () =>
      [...stored.values()].map(({ digest: _digest, ...token }) => ({
        ...token,
        lastUsedAtMs: uses.get(token.id) ?? token.lastUsedAtMs,
      })),
    create(wish) {
      const id = randomBytes(6).toString('hex');
      const secret = `dsp_${id}_${randomBytes(32).toString('base64url')}`;
      const { name, scopes, users, expiresAtMs } = wish;
      const token = { id, name, scopes, users, expiresAtMs, createdAtMs: Math.floor(clock.wallMs()) };
      const kept: StoredToken = { ...token, lastUsedAtMs: null, digest: digestOf(Buffer.from(secret)) };
      ledger.add(kept);
      stored.set(id, kept);
      log.info({ token: id, scopes, bound: users !== null }, 'made a token');
      return { token: { ...token, lastUsedAtMs: null }, secret };
    },
    remove(id) {
      if (!stored.has(id)) throw new SpawnerError('unknown_token', 'there is no token with this id');
      ledger.remove(id);
      stored.delete(id);
      uses.delete(id);
      log.info({ token: id }, 'removed a token');
    },
    setAdministrators,
    close: writeUses,
  };
}

/** Whether a caller sees and touches what this user has. */
export function mayTouch(caller: Caller, user: string | null): boolean {
  return caller.users === null || (user !== null && caller.users.has(user));
}

const writeUsesAfterMs = 60_000;

const allScopes: ReadonlySet<Scope> = new Set(Object.keys(scopes) as Scope[]);

const anybody: Caller = { key: null, scopes: allScopes, users: null };

/** Compared with where there is no token of that id, so that both cases take the same time; equals no SHA-256 known. */
const noDigest = Buffer.alloc(32);

function callerOf({ id, scopes, users }: Token): Caller {
  return {
    key: id,
    scopes: scopes.includes('admin') ? allScopes : new Set(scopes),
    users: users && new Set(users),
  };
}

function digestOf(secret: Buffer): Buffer {
  return createHash('sha256').update(secret).digest();
}
