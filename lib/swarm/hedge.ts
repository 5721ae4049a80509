/** Clients waited all of this time, milliseconds: a swarm that is only young has grown by then. */
const WINDOW_MS = 4000;
/** The registry would be so many times as fast: far more than what differs from moment to moment. */
const MUCH_FASTER = 4;
/** Less was a manifest or a few pieces, bytes a second: a swarm that has yet to begin is no slower for it. */
const LEAST_KNOWN = 1024 * 1024;
/** Time between two looks, milliseconds; in what is beyond that this process itself stood still. */
const LOOK_MS = 50;

/** Whether the swarm is so much slower than the registry would be that reading past it is worth the registry's while. */
export class SlowSwarm {
  #sinceMs = Number.NaN;
  #received = 0;
  #lookedMs = 0;

  /**
   * To be called about every {@link LOOK_MS}: while this process itself stood still, nobody else was slow.
   * @param clientsWait clients wait for bytes that are not here
   * @param receivedBytes by this node in all, ever
   * @param registryBytesPerSecond the highest rate lately at which it read from registries itself, over as long a span:
   *   a piece or two always come fast; 0 = it did not
   * @returns true at the end of each span in which the swarm was too slow
   */
  look(
    nowMs: number,
    {
      clientsWait,
      receivedBytes,
      registryBytesPerSecond,
    }: {
      readonly clientsWait: boolean;
      readonly receivedBytes: number;
      readonly registryBytesPerSecond: number;
    },
  ): boolean {
    this.#sinceMs += Math.max(0, nowMs - this.#lookedMs - LOOK_MS);
    this.#lookedMs = nowMs;
    if (!clientsWait) this.#sinceMs = Number.NaN;
    else if (Number.isNaN(this.#sinceMs)) this.#begin(nowMs, receivedBytes);
    const spanMs = nowMs - this.#sinceMs;
    if (!(spanMs >= WINDOW_MS)) return false;
    const bytesPerSecond = ((receivedBytes - this.#received) * 1000) / spanMs;
    this.#begin(nowMs, receivedBytes);
    return registryBytesPerSecond >= LEAST_KNOWN && bytesPerSecond * MUCH_FASTER < registryBytesPerSecond;
  }

  #begin(nowMs: number, receivedBytes: number): void {
    this.#sinceMs = nowMs;
    this.#received = receivedBytes;
  }
}
