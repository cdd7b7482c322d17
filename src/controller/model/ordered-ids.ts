/** Ids in order, for paging: sorted when somebody asks, kept sorted through single changes, sorted anew after many. */
export class OrderedIds {
  readonly #ids = new Set<string>();
  #sorted: string[] | undefined;
  /** Single changes since `#sorted` was asked for; each moves half the list on average. */
  #changes = 0;

  get size(): number {
    return this.#ids.size;
  }

  add(id: string): void {
    if (this.#ids.has(id)) return;
    this.#ids.add(id);
    const sorted = this.#keep();
    sorted?.splice(lowerBound(sorted, id), 0, id);
  }

  delete(id: string): void {
    if (!this.#ids.delete(id)) return;
    const sorted = this.#keep();
    sorted?.splice(lowerBound(sorted, id), 1);
  }

  #keep(): string[] | undefined {
    if (++this.#changes > 64) this.#sorted = undefined;
    return this.#sorted;
  }

  /** Not to be changed, and good until the next change. */
  sorted(): readonly string[] {
    this.#sorted ??= [...this.#ids].sort();
    this.#changes = 0;
    return this.#sorted;
  }
}

/** Where `id` is or would be. */
export function lowerBound(sorted: readonly string[], id: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
