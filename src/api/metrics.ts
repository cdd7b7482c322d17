/** Figures for Prometheus (text format 0.0.4): counted here, or asked for when they are read. */
export type Labels = Readonly<Record<string, string>>;

interface Family {
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Lines of samples, without the family's name. */
  samples(): Iterable<readonly [suffix: string, labels: Labels, value: number]>;
}

/** Upper bounds in seconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

interface Series {
  readonly labels: Labels;
  value: number;
}

export class Counter {
  readonly #series = new Map<string, Series>();

  add(labels: Labels, n = 1): void {
    const key = JSON.stringify(labels);
    const series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, { labels, value: n });
    else series.value += n;
  }

  *samples(): Iterable<readonly [string, Labels, number]> {
    for (const { labels, value } of this.#series.values()) yield ['', labels, value];
  }
}

interface Distribution {
  readonly labels: Labels;
  readonly counts: number[];
  sum: number;
  count: number;
}

export class Histogram {
  readonly #series = new Map<string, Distribution>();

  observe(labels: Labels, seconds: number): void {
    const key = JSON.stringify(labels);
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { labels, counts: BUCKETS.map(() => 0), sum: 0, count: 0 };
      this.#series.set(key, series);
    }
    for (const [i, bound] of BUCKETS.entries()) if (seconds <= bound) series.counts[i]++;
    series.sum += seconds;
    series.count++;
  }

  *samples(): Iterable<readonly [string, Labels, number]> {
    for (const { labels, counts, sum, count } of this.#series.values()) {
      for (const [i, bound] of BUCKETS.entries())
        yield ['_bucket', { ...labels, le: String(bound) }, counts[i]];
      yield ['_bucket', { ...labels, le: '+Inf' }, count];
      yield ['_sum', labels, sum];
      yield ['_count', labels, count];
    }
  }
}

export class Metrics {
  readonly #families = new Map<string, Family>();

  counter(name: string, help: string): Counter {
    const counter = new Counter();
    this.#families.set(name, { help, type: 'counter', samples: () => counter.samples() });
    return counter;
  }

  histogram(name: string, help: string): Histogram {
    const histogram = new Histogram();
    this.#families.set(name, { help, type: 'histogram', samples: () => histogram.samples() });
    return histogram;
  }

  /** A figure that is asked for when it is read. */
  gauge(name: string, help: string, read: () => Iterable<readonly [Labels, number]>): void {
    const samples = function* (): Iterable<readonly [string, Labels, number]> {
      for (const [labels, value] of read()) yield ['', labels, value];
    };
    this.#families.set(name, { help, type: 'gauge', samples });
  }

  text(): string {
    let out = '';
    for (const [name, family] of this.#families) {
      out += `# HELP ${name} ${family.help}\n# TYPE ${name} ${family.type}\n`;
      for (const [suffix, labels, value] of family.samples()) {
        const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
        out += `${name}${suffix}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${value}\n`;
      }
    }
    return out;
  }
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
