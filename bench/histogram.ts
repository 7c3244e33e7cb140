// Latencies of millions of messages in a fixed few kilobytes: counters in buckets that are 1 % wide, so that a
// percentile is right to 1 % whatever its size. A generator process fills one; the bench process merges them.

const bucketsPerOctave = 72 // 2^(1/72) is 1.0097
const octaves = 32 // up to 2^32 microseconds, over an hour
const bucketCount = bucketsPerOctave * octaves

/** What crosses between processes: counters only. */
export interface HistogramCounts {
  counts: Uint32Array
  maxUs: number
}

export interface LatencySummary {
  samples: number
  p50Us: number
  p99Us: number
  p999Us: number
  maxUs: number
}

export class LatencyHistogram {
  private readonly counts = new Uint32Array(bucketCount)
  private samples = 0
  private maxUs = 0

  record(us: number): void {
    this.counts[bucketOf(us)]++
    this.samples++
    if (us > this.maxUs) this.maxUs = us
  }

  /** The upper edge of the bucket that holds the p-th part (0..1) of all samples; 0 when there are none. */
  percentile(p: number): number {
    let left = Math.max(1, Math.ceil(this.samples * p))
    if (this.samples === 0) return 0
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      left -= this.counts[bucket]
      if (left <= 0) return Math.min(upperEdgeOf(bucket), this.maxUs)
    }
    return this.maxUs
  }

  merge(other: HistogramCounts): void {
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      this.counts[bucket] += other.counts[bucket]
      this.samples += other.counts[bucket]
    }
    this.maxUs = Math.max(this.maxUs, other.maxUs)
  }

  export(): HistogramCounts {
    return { counts: this.counts, maxUs: this.maxUs }
  }

  summary(): LatencySummary | null {
    if (this.samples === 0) return null
    return {
      samples: this.samples,
      p50Us: this.percentile(0.5),
      p99Us: this.percentile(0.99),
      p999Us: this.percentile(0.999),
      maxUs: this.maxUs,
    }
  }
}

function bucketOf(us: number): number {
  if (us <= 1) return 0
  return Math.min(bucketCount - 1, Math.ceil(Math.log2(us) * bucketsPerOctave))
}

function upperEdgeOf(bucket: number): number {
  return 2 ** (bucket / bucketsPerOctave)
}
