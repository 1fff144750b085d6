import { type EventKind, eventKinds } from '../core/events.ts';
import type { WebhookTarget } from '../core/webhooks.ts';
import { didYouMean } from './problems.ts';
import { setting } from './setting.ts';
import { childKey, type Node } from './source.ts';
import { list, type Reading, refuse, scalarType, secret, type Type, text } from './types.ts';

/** Everything but progress, which is told, but not kept, and so cannot be delivered for certain. */
const kinds = (Object.keys(eventKinds) as EventKind[]).filter((kind) => kind !== 'pulling');

const words = ['url', 'secret', 'events'] as const;

/** Where a message goes. The address may hold a secret of the receiver's, so no problem quotes it. */
const url = secret(
  scalarType('a URL that begins with http:// or https://, without user, password and #', (value) => {
    const parsed = URL.parse(value.trim());
    if (!parsed || !['http:', 'https:'].includes(parsed.protocol)) return undefined;
    return parsed.username || parsed.password || parsed.hash ? undefined : parsed.href;
  }),
);

const signingSecret = secret(
  text('at least 16 printable characters (as `openssl rand -hex 32` makes them)', /^[\x21-\x7e]{16,512}$/),
);

const events: Type<readonly EventKind[]> = list(
  scalarType(`one of ${kinds.join(', ')}`, (value) => kinds.find((kind) => kind === value)),
);

const target: Type<WebhookTarget> = {
  expected: 'a map {url: URL, secret: TEXT, events: [KIND, ...]}; without `events`: all kinds',
  read(node, key, reading) {
    if (node.kind !== 'map') return refuseQuietly(node, key, this.expected, reading);
    let sound = true;
    for (const [word, { at }] of node.entries) {
      if (words.some((known) => known === word)) continue;
      reading.report(at, childKey(key, word), `there is no such word${didYouMean(word, words)}`);
      sound = false;
    }
    const read = <T>(word: (typeof words)[number], type: Type<T>): T | undefined => {
      const value = node.entries.get(word)?.value;
      if (value) return type.read(value, childKey(key, word), reading);
      reading.report(node.at, key, `\`${word}\` is missing: expected ${type.expected}`, type.expected);
      return undefined;
    };
    const [readUrl, readSecret] = [read('url', url), read('secret', signingSecret)];
    const readEvents = node.entries.has('events') ? readKinds(node, key, reading) : null;
    if (!sound || readUrl === undefined || readSecret === undefined || readEvents === undefined)
      return undefined;
    return { url: readUrl, secret: readSecret, events: readEvents };
  },
};

function readKinds(
  node: Extract<Node, { kind: 'map' }>,
  key: string,
  reading: Reading,
): readonly EventKind[] | undefined {
  const { value } = node.entries.get('events')!;
  const where = childKey(key, 'events');
  const read = events.read(value, where, reading);
  // A target that is told of nothing is a slip, and would never be noticed.
  return read?.length === 0 ? refuse(value, where, 'at least one kind of event', reading) : read;
}

const targets: Type<readonly WebhookTarget[]> = {
  ...list(target),
  inEnvironment: 'json',
  read(node, key, reading) {
    if (node.kind !== 'list') return refuseQuietly(node, key, this.expected, reading);
    const read = list(target).read(node, key, reading);
    if (read === undefined) return undefined;
    for (const [i, { url: address }] of read.entries()) {
      if (read.findIndex((other) => other.url === address) === i) continue;
      const message = 'this URL is the one of an earlier webhook; name all `events` in one of them';
      reading.report(node.items[i]!.at, childKey(key, i), message);
      return undefined;
    }
    return read;
  },
};

/** What stands in the wrong place could be a URL that holds a secret: it is not quoted. */
function refuseQuietly(node: Node, key: string, expected: string, reading: Reading): undefined {
  reading.report(node.at, key, `expected ${expected}`, expected);
  return undefined;
}

/** The setting of who is told of events. Part of settings.ts. */
export const webhookSettings = {
  webhooks: setting<readonly WebhookTarget[]>(
    targets,
    '[]',
    [],
    'who is told of events, by signed requests; docs/webhooks.md has the form',
  ),
} as const;
