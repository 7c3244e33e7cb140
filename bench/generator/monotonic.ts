// One clock for all processes of a measurement: the machine's monotonic clock, in microseconds. (performance.now()
// counts from each process's own start and is tied to the wall clock, which may be set between two starts.)

export function nowUs(): number {
  return Number(process.hrtime.bigint()) / 1000
}
