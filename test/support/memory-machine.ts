import { setTimeout as delay } from 'node:timers/promises';
import type { Specification } from '../../src/core/container.ts';
import { type CreateRequest, EngineError, type EngineEvent } from '../../src/core/engine.ts';
import { labels } from '../../src/core/labels.ts';
import { untilAborted } from '../../src/engine/abort.ts';
import { close, type Held, type MemoryContainer, type MemoryImage, open } from './memory-container.ts';

export type Verb = 'check' | 'list' | 'watch' | 'create' | 'remove' | 'wake' | 'logs';

export class MemoryMachine {
  /** The images that are there, by name. Tests add their own; `image_missing` is the answer for others. */
  readonly images = new Map<string, MemoryImage>([
    ['web', { does: 'serve' }],
    ['never-listens', { does: 'refuse' }],
    ['silent', { does: 'silent' }],
    ['exits', { does: 'exit', exitCode: 1, output: ['cannot go on\n'] }],
    ['idle', { does: 'idle' }],
  ]);
  /** How often each verb was called, failed calls included. */
  readonly calls: Record<Verb, number> = {
    check: 0,
    list: 0,
    watch: 0,
    create: 0,
    remove: 0,
    wake: 0,
    logs: 0,
  };
  #containers = new Map<string, Held>();
  #byId = new Map<string, Held>();
  #watchers = new Set<{ instance: string; notify: (event: EngineEvent) => void; end: () => void }>();
  #hooks = new Set<Hook>();
  #isAway = false;
  #dropsEvents = false;
  #lastRef = 0;

  // Knobs: the engine.

  /** The next call of the verb fails: `before` it has any effect, or `after` (as when the answer is lost). */
  failNext(verb: Verb, error: EngineError, when: 'before' | 'after' = 'before'): void {
    const hook: Hook = {
      verb,
      when,
      run: async () => {
        this.#hooks.delete(hook);
        throw error;
      },
    };
    this.#hooks.add(hook);
  }

  /**
   * Every call of the verb waits until `release` (or its own signal), `before` it has any effect or `after`.
   * `waiting()` tells how many do. A call whose signal fired while it waited `before` has no effect.
   */
  hold(verb: Verb, when: 'before' | 'after' = 'before'): { release(): void; waiting(): number } {
    const { promise: released, resolve } = Promise.withResolvers<void>();
    let waiting = 0;
    const hook: Hook = {
      verb,
      when,
      run: async (signal) => {
        waiting++;
        await untilAborted(signal, released).finally(() => waiting--);
      },
    };
    this.#hooks.add(hook);
    const release = () => {
      this.#hooks.delete(hook);
      resolve();
    };
    return { release, waiting: () => waiting };
  }

  /** Every call of the verb takes this much longer. */
  slow(verb: Verb, byMs: number): void {
    this.#hooks.add({
      verb,
      when: 'before',
      run: (signal) => delay(byMs, undefined, { signal }).catch(() => {}),
    });
  }

  /** The engine stops answering: calls fail as `unreachable` and watches end. Containers live on. */
  away(): void {
    this.#isAway = true;
    this.endWatches();
  }

  back(): void {
    this.#isAway = false;
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
    container.output.push(...(image.output ?? []));
    if (image.does !== 'exit') return;
    setImmediate(() => void this.exit(container.ref, image.exitCode ?? 1).catch(() => {}));
  }

  /** Requests wait until `unpause`, as the kernel makes them. */
  pause(refOrId: string): void {
    const container = this.#held(refOrId);
    container.state = 'paused';
    this.#tell(container, 'paused');
  }

  unpause(refOrId: string): void {
    const container = this.#held(refOrId);
    container.state = 'running';
    for (const answer of container.frozen.splice(0)) answer();
    this.#tell(container, 'unpaused');
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

  async call<T>(verb: Verb, signal: AbortSignal, effect: () => Promise<T>): Promise<T> {
    this.calls[verb]++;
    const work = async () => {
      await this.#runHooks(verb, 'before', signal);
      if (this.#isAway) throw new EngineError('unreachable', 'The memory engine is away');
      const result = await effect();
      await this.#runHooks(verb, 'after', signal);
      return result;
    };
    return untilAborted(signal, signal.aborted ? new Promise<T>(() => {}) : work());
  }

  async create(
    name: string,
    all: Record<string, string>,
    specification: Specification,
    request: CreateRequest,
  ): Promise<MemoryContainer> {
    if (!this.images.has(specification.spec.image)) {
      throw new EngineError('image_missing', `There is no image ${specification.spec.image}`);
    }
    if (this.#byId.get(specification.id)?.name === name) {
      throw new EngineError('failed', `The container name ${name} is already in use`);
    }
    request.onProgress?.({ step: 'creating' });
    const ref = (++this.#lastRef).toString(16).padStart(64, '0');
    const container: Held = {
      ref,
      name,
      labels: all,
      specification,
      state: 'created',
      exit: null,
      output: [],
      server: null,
      frozen: [],
    };
    this.#containers.set(ref, container);
    this.#byId.set(specification.id, container);
    request.onProgress?.({ step: 'starting' });
    try {
      await this.start(ref);
    } catch (error) {
      this.#forget(container);
      throw error;
    }
    return container;
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

  async #runHooks(verb: Verb, when: Hook['when'], signal: AbortSignal): Promise<void> {
    for (const hook of [...this.#hooks]) {
      if (hook.verb !== verb || hook.when !== when || !this.#hooks.has(hook)) continue;
      await hook.run(signal);
      if (signal.aborted) await new Promise<never>(() => {});
    }
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

interface Hook {
  readonly verb: Verb;
  readonly when: 'before' | 'after';
  readonly run: (signal: AbortSignal) => Promise<void>;
}
