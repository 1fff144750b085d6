import type { Commands } from '../core/commands.ts';
import { SpawnerError } from '../core/errors.ts';
import { type Caller, mayTouch, type Scope } from '../core/tokens.ts';
import { checkIdempotencyKey, checkImageKey, checkUser } from './fields.ts';
import { type Form, mergeForms, readForm, readQuery, textField } from './form.ts';

/** A call as its route sees it: the guards have let it pass, and its body is read. */
export interface Call {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly body: Buffer | undefined;
  readonly idempotencyKey: string | string[] | undefined;
  /** Who calls; whoever it is was let in. */
  readonly caller: Caller;
}

/** What the three calls ask of the core. */
export type OriginalCommands = Pick<Commands, 'spawn' | 'stop' | 'get' | 'newestOf'>;

export interface TextRoute {
  readonly path: string;
  readonly methods: readonly ('GET' | 'POST')[];
  /** What a token must allow. */
  readonly scope: Scope;
  /** Resolves to the text of the 200 answer. Throws SpawnerError. */
  readonly answer: (call: Call) => Promise<string>;
}

/** The three calls of the original service, with its names and formats. */
export function originalRoutes(options: {
  readonly commands: OriginalCommands;
  readonly withUsers: boolean;
}): TextRoute[] {
  const { commands, withUsers } = options;
  return [
    {
      path: '/spawn',
      methods: ['POST'],
      scope: 'spawn',
      answer: async (call) => {
        const form = readForm(call);
        const imageKey = checkImageKey('container_id', textField(form, 'container_id'));
        const user = withUsers ? readUser(form) : null;
        if (withUsers && !mayTouch(call.caller, user)) {
          throw new SpawnerError('forbidden', 'The token is bound to other users');
        }
        const idempotencyKey = checkIdempotencyKey(call.idempotencyKey);
        const container = await commands.spawn({
          imageKey,
          user,
          ...(idempotencyKey !== null && { idempotencyKey }),
        });
        return container.id;
      },
    },
    {
      path: '/stop',
      methods: ['POST'],
      scope: 'spawn',
      answer: async (call) => {
        const id = readId(readForm(call));
        const container = commands.get(id);
        // Another user's is as unknown as one that never was.
        if (container && !mayTouch(call.caller, container.user)) throw unknownContainer();
        await commands.stop(id);
        return `Container ${id} is stopped`;
      },
    },
    {
      path: '/get_container_hex',
      methods: ['GET', 'POST'],
      scope: 'read',
      answer: async (call) => {
        if (!withUsers) throw new SpawnerError('users_off', 'Containers are not coupled to users here');
        const query = readQuery(call.target);
        const user = readUser(call.method === 'POST' ? mergeForms(query, readForm(call)) : query);
        const container = mayTouch(call.caller, user) ? commands.newestOf(user) : undefined;
        if (!container) throw new SpawnerError('no_container', 'The user has no container');
        return `${container.id}:${container.imageKey}`;
      },
    },
  ];
}

function readUser(form: Form): string {
  return checkUser('user_id', textField(form, 'user_id'));
}

function unknownContainer(): SpawnerError {
  return new SpawnerError('unknown_container', 'there is no container with this id');
}

/** Upper case passes here and is unknown to the core: ids are lower case, and equal to the letter or not. */
function readId(form: Form): string {
  const id = textField(form, 'container_hex');
  if (!/^[0-9a-f]{16,63}$/i.test(id)) {
    throw new SpawnerError('field_invalid', 'container_hex is not an id: 16 to 63 hexadecimal digits');
  }
  return id;
}
