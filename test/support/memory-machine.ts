import type { Specification } from '../../src/core/container.ts';
import {
  type ContainerStats,
  type CreateRequest,
  EngineError,
  type EngineEvent,
  type ExecResult,
  type LogQuery,
} from '../../src/core/engine.ts';
import { labels } from '../../src/core/labels.ts';
import { abortError, untilAborted } from '../../src/engine/abort.ts';
import { MemoryCalls } from './memory-calls.ts';
import {
  close,
  type Held,
  type MemoryContainer,
  type MemoryImage,
  noUse,
  open,
  readLogs,
} from './memory-container.ts';

/** A command that was run inside a container. */
export interface MemoryExec {
  readonly id: string;
  readonly ref: string;
  readonly command: readonly string[];
  readonly input: string;
}

/** The machine on which memory engines run their containers, with the knobs for both. */
export class MemoryMachine extends MemoryCalls {
  /** The images that are there, by name. Tests add their own; `image_missing` is the answer for others. */
  readonly images = new Map<string, MemoryImage>([
    ['web', { does: 'serve' }],
    ['never-listens', { does: 'refuse' }],
    ['silent', { does: 'silent' }],
    ['exits', { does: 'exit', exitCode: 1, output: ['cannot go on\n'] }],
    ['idle', { does: 'idle' }],
  ]);
  /** Images that a `create` pulls first, where the policy allows it; then they are among `images`. */
  readonly registry = new Map<string, MemoryImage>();
  /** What was run inside containers, in order; an image's `exec` says what came of it. */
  readonly execs: MemoryExec[] = [];
  #containers = new Map<string, Held>();
  #byId = new Map<string, Held>();
  #watchers = new Set<{ instance: string; notify: (event: EngineEvent) => void; end: () => void }>();
  #dropsEvents = false;
  #lastRef = 0;

  // Knobs: the engine.

  override away(): void {
    super.away();
    this.endWatches();
  }

  /** Every watch ends, as when the connection breaks. */
  endWatches(): void {
    for (const watcher of [...this.#watchers]) watcher.end();
  }

  /** While true, changes are not told to watchers. */
  dropEvents(drop: boolean): void {
    this.#dropsEvents = drop;
  }

  /** Tells every watcher of the instance, whether it is true or not. */
  emit(instance: string, event: EngineEvent): void {
    for (const watcher of this.#watchers) if (watcher.instance === instance) watcher.notify(event);
  }

  // Knobs: containers. They are found by ref or by id.

  get containers(): readonly MemoryContainer[] {
    return [...this.#containers.values()];
  }

  find(refOrId: string): MemoryContainer {
    return this.#held(refOrId);
  }

  /** The container's main process ends. */
  async exit(refOrId: string, code = 0, outOfMemory = false): Promise<void> {
    const container = this.#held(refOrId);
    if (container.state !== 'running' && container.state !== 'paused') return;
    Object.assign(container, { state: 'exited', exit: { code, outOfMemory } });
    for (const notify of container.readers) notify();
    await close(container);
    this.#tell(container, 'exited');
  }

  async start(refOrId: string): Promise<void> {
    const container = this.#held(refOrId);
    await open(container, this.#image(container));
    if (!this.#containers.has(container.ref)) {
      await close(container);
      throw new EngineError('not_found', `${container.name} was removed while it started`);
    }
    Object.assign(container, { state: 'running', exit: null });
    this.#tell(container, 'started');
    const image = this.#image(container);
    this.write(container.ref, ...(image.output ?? []));
    if (image.does !== 'exit') return;
    setImmediate(() => void this.exit(container.ref, image.exitCode ?? 1).catch(() => {}));
  }

  /** It writes these lines to its standard output. */
  write(refOrId: string, ...lines: string[]): void {
    const container = this.#held(refOrId);
    container.output.push(...lines);
    for (const notify of container.readers) notify();
  }

  /** It uses this much from now on. */
  use(refOrId: string, stats: Partial<ContainerStats>): void {
    const container = this.#held(refOrId);
    container.stats = { ...container.stats, ...stats };
  }

  /** Requests wait until `unpause`, as the kernel makes them. */
  pause(refOrId: string): void {
    const container = this.#held(refOrId);
    if (container.state !== 'running') return;
    container.state = 'paused';
    this.#tell(container, 'paused');
  }

  unpause(refOrId: string): void {
    const container = this.#held(refOrId);
    container.state = 'running';
    for (const answer of container.frozen.splice(0)) answer();
    this.#tell(container, 'unpaused');
  }

  /** The name of the image means another image from now on, as after a pull or a build. */
  retag(image: string): void {
    for (const container of this.#containers.values()) {
      if (container.image === image) container.image = `sha256:${'0'.repeat(64)}`;
    }
  }

  /** `docker rm -f`: ends it, removes it and closes its port; one that is gone is no error. */
  async removeByHand(refOrId: string): Promise<void> {
    const container = this.#lookup(refOrId);
    if (!container) return;
    await this.exit(container.ref, 137);
    await close(container);
    if (this.#forget(container)) this.#tell(container, 'removed');
  }

  /** Ends all there is: for the end of a test. */
  async close(): Promise<void> {
    this.endWatches();
    await Promise.all([...this.#containers.keys()].map((ref) => this.removeByHand(ref)));
  }

  // For createMemoryEngine.

  async create(
    name: string,
    all: Record<string, string>,
    request: CreateRequest,
    signal: AbortSignal,
  ): Promise<MemoryContainer> {
    const { specification, beforeCreate, onProgress } = request;
    const takeTurn = async () => {
      await beforeCreate?.();
      if (signal.aborted) throw abortError(signal);
      onProgress?.({ step: 'creating' });
    };
    await takeTurn();
    if (!this.images.has(specification.spec.image)) {
      await this.#pull(request, signal);
      await takeTurn();
    }
    const container = this.#add(name, all, specification);
    onProgress?.({ step: 'starting' });
    try {
      await this.start(container.ref);
    } catch (error) {
      this.#forget(container);
      throw error;
    }
    return container;
  }

  async exec(refOrId: string, command: readonly string[], input: string): Promise<ExecResult> {
    const container = this.#held(refOrId);
    if (container.state !== 'running') {
      throw new EngineError('failed', `${container.name} is ${container.state}: nothing can be run inside`);
    }
    const exec = { id: container.specification.id, ref: container.ref, command, input };
    this.execs.push(exec);
    return (await this.#image(container).exec?.(exec)) ?? { exitCode: 0, output: '' };
  }

  async logs(
    refOrId: string,
    query: LogQuery,
    onText: (text: string) => Promise<void> | void,
    signal: AbortSignal,
  ): Promise<void> {
    await readLogs(this.#held(refOrId), query, onText, signal);
  }

  rename(refOrId: string, name: string): void {
    const container = this.#held(refOrId);
    const holder = this.containers.find((other) => other.name === name);
    if (holder && holder !== container) throw nameTaken(name);
    container.name = name;
  }

  async watch(instance: string, onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<void> {
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const watcher = {
      instance,
      notify: onEvent,
      end: () => reject(new EngineError('unreachable', 'The stream of events ended')),
    };
    ended.catch(() => {});
    try {
      await this.call('watch', signal, async () => {
        this.#watchers.add(watcher);
        onEvent({ kind: 'open' });
      });
      await untilAborted(signal, ended);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#watchers.delete(watcher);
    }
  }

  async #pull(request: CreateRequest, signal: AbortSignal): Promise<void> {
    const { image, pullPolicy } = request.specification.spec;
    const pulled = this.registry.get(image);
    if (pullPolicy === 'never' || !pulled) {
      throw new EngineError('image_missing', `There is no image ${image}`);
    }
    request.onProgress?.({ step: 'pulling', currentBytes: 0, totalBytes: 0 });
    await this.call('pull', signal, async () => void this.images.set(image, pulled));
  }

  #add(name: string, all: Record<string, string>, specification: Specification): Held {
    if (this.#byId.get(specification.id)?.name === name) throw nameTaken(name);
    const ref = (++this.#lastRef).toString(16).padStart(64, '0');
    const container: Held = {
      ref,
      name,
      image: specification.spec.image,
      labels: all,
      specification,
      state: 'created',
      exit: null,
      output: [],
      stats: { ...noUse },
      readers: new Set(),
      server: null,
      frozen: [],
    };
    this.#containers.set(ref, container);
    this.#byId.set(specification.id, container);
    return container;
  }

  /** Later, as real events come: never within the call that made the change. */
  #tell(container: Held, change: 'started' | 'exited' | 'removed' | 'paused' | 'unpaused'): void {
    if (this.#dropsEvents) return;
    const id = container.labels[labels.id.name] ?? '';
    setImmediate(() =>
      this.emit(container.labels[labels.instance.name]!, {
        kind: 'container',
        ref: container.ref,
        id,
        change,
      }),
    );
  }

  #image(container: Held): MemoryImage {
    return this.images.get(container.specification.spec.image) ?? { does: 'idle' };
  }

  #lookup(refOrId: string): Held | undefined {
    return this.#containers.get(refOrId) ?? this.#byId.get(refOrId);
  }

  #forget(container: Held): boolean {
    const { id } = container.specification;
    if (this.#byId.get(id) === container) this.#byId.delete(id);
    return this.#containers.delete(container.ref);
  }

  #held(refOrId: string): Held {
    const container = this.#lookup(refOrId);
    if (!container) throw new EngineError('not_found', `There is no container ${refOrId}`);
    return container;
  }
}

function nameTaken(name: string): EngineError {
  return new EngineError('failed', `The container name ${name} is already in use`);
}
