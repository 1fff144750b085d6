import type { Commands } from '../core/commands.ts';
import { SpawnerError } from '../core/errors.ts';
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
}

/** What the three calls ask of the core. */
export type OriginalCommands = Pick<Commands, 'spawn' | 'stop' | 'newestOf'>;

export interface TextRoute {
  readonly path: string;
  readonly methods: readonly ('GET' | 'POST')[];
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
      answer: async (call) => {
        const form = readForm(call);
        const imageKey = readImageKey(form);
        const user = withUsers ? readUser(form) : null;
        const idempotencyKey = readIdempotencyKey(call.idempotencyKey);
        const container = await commands.spawn({ imageKey, user, ...idempotencyKey });
        return container.id;
      },
    },
    {
      path: '/stop',
      methods: ['POST'],
      answer: async (call) => {
        const id = readId(readForm(call));
        await commands.stop(id);
        return `Container ${id} is stopped`;
      },
    },
    {
      path: '/get_container_hex',
      methods: ['GET', 'POST'],
      answer: async (call) => {
        if (!withUsers) throw new SpawnerError('users_off', 'Containers are not coupled to users here');
        const query = readQuery(call.target);
        const user = readUser(call.method === 'POST' ? mergeForms(query, readForm(call)) : query);
        const container = commands.newestOf(user);
        if (!container) throw new SpawnerError('no_container', 'The user has no container');
        return `${container.id}:${container.imageKey}`;
      },
    },
  ];
}

const maxImageKeyLength = 128;
const maxUserBytes = 256;

/** C0, DEL and C1: they have no place in a name, and would forge lines in logs and terminals. */
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/;

function readImageKey(form: Form): string {
  const imageKey = textField(form, 'container_id');
  if ([...imageKey].length > maxImageKeyLength) {
    throw new SpawnerError('field_invalid', `container_id is longer than ${maxImageKeyLength} characters`);
  }
  return withoutControls('container_id', imageKey);
}

/** Beyond the original: the same key gives the same container, for a day. */
function readIdempotencyKey(key: string | string[] | undefined): { idempotencyKey?: string } {
  if (key === undefined) return {};
  // Node joins repeated fields of this name with a comma; a key has none, so that one is not taken for two.
  if (typeof key !== 'string' || !/^[!-+\--~]{1,255}$/.test(key)) {
    throw new SpawnerError(
      'field_invalid',
      'Idempotency-Key must be 1 to 255 printable ASCII characters, no comma or space',
    );
  }
  return { idempotencyKey: key };
}

/** No normalising and no folding of case: ids that differ in a byte are different users. */
function readUser(form: Form): string {
  const user = textField(form, 'user_id');
  if (Buffer.byteLength(user) > maxUserBytes) {
    throw new SpawnerError('field_invalid', `user_id is longer than ${maxUserBytes} bytes`);
  }
  return withoutControls('user_id', user);
}

function withoutControls(name: string, text: string): string {
  if (controlCharacter.test(text)) {
    throw new SpawnerError('field_invalid', `${name} holds a control character`);
  }
  return text;
}

/** Upper case passes here and is unknown to the core: ids are lower case, and equal to the letter or not. */
function readId(form: Form): string {
  const id = textField(form, 'container_hex');
  if (!/^[0-9a-f]{16,63}$/i.test(id)) {
    throw new SpawnerError('field_invalid', 'container_hex is not an id: 16 to 63 hexadecimal digits');
  }
  return id;
}
