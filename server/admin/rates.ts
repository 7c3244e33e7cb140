// Rates of the counters that the broker only lets grow. Placeholder until the sampler is in place.
export interface Rates {
  close(): void
}
