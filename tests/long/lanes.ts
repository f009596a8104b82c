/**
 * Works through a list, several at a time, each lane with a thing of its own. The first failure
 * ends them all.
 */
export async function inLanes<Item, Lane>(
  items: readonly Item[],
  lanes: readonly Lane[],
  work: (item: Item, lane: Lane) => Promise<void>,
): Promise<void> {
  const left = [...items];
  let failed = false;
  await Promise.all(
    lanes.map(async (lane) => {
      for (let item = left.shift(); item !== undefined && !failed; item = left.shift()) {
        try {
          await work(item, lane);
        } catch (error) {
          failed = true;
          throw error;
        }
      }
    }),
  );
}
