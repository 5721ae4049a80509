/** Each start is about a second of CPU; all at once would time out on a small machine. */
const STARTS_AT_ONCE = 4;

/** Starts processes, a few at a time. @throws what the first that failed gave, after all under way have ended */
export async function startAll(machines: readonly { start(): Promise<void> }[]): Promise<void> {
  const left = [...machines];
  const lane = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await next.start();
  };
  const lanes = await Promise.allSettled(Array.from({ length: STARTS_AT_ONCE }, lane));
  const failed = lanes.find((ended) => ended.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
