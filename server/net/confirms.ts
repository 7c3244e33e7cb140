// Publisher confirms of a channel. Publishes get consecutive tags; each waits for a batch of the journal (or for none, when
// nothing of it is logged), and they are answered in order: one cumulative basic.ack per turn, a nack for what could not
// be made durable. RabbitMQ docs "Consumer Acknowledgements and Publisher Confirms".

export class Confirms {
  private nextTag = 1
  private answeredTag = 0
  // Runs of publishes that wait for the same batch: last tag and batch. Few, however many publishes.
  private lastTags: number[] = []
  private batches: number[] = []
  private failed: boolean[] = []

  get unconfirmedCount(): number {
    return this.nextTag - 1 - this.answeredTag
  }

  get isSettled(): boolean {
    return this.lastTags.length === 0
  }

  /** `batch` 0: nothing to wait for. */
  onPublish(batch: number): void {
    const tag = this.nextTag++
    const last = this.lastTags.length - 1
    if (last >= 0 && this.batches[last] === batch && !this.failed[last]) this.lastTags[last] = tag
    else {
      this.lastTags.push(tag)
      this.batches.push(batch)
      this.failed.push(false)
    }
  }

  /** Not taken: it is nacked. */
  onRefused(): void {
    const last = this.lastTags.length - 1
    const tag = this.nextTag++
    if (last >= 0 && this.failed[last] && this.batches[last] === 0) this.lastTags[last] = tag
    else {
      this.lastTags.push(tag)
      this.batches.push(0)
      this.failed.push(true)
    }
  }

  onCommitFailed(batch: number): void {
    for (let i = 0; i < this.batches.length; i++) if (this.batches[i] === batch) this.failed[i] = true
  }

  /** Answers what can be answered in order. Returns how many publishes that was. */
  answer(committed: number, write: (tag: number, multiple: boolean, isAck: boolean) => void): number {
    const before = this.answeredTag
    let done = 0
    while (done < this.lastTags.length && (this.failed[done] || this.batches[done] <= committed)) {
      const isAck = !this.failed[done]
      // Runs of the same answer go out as one.
      while (done + 1 < this.lastTags.length && this.isSame(done + 1, isAck, committed)) done++
      const tag = this.lastTags[done++]
      write(tag, tag > this.answeredTag + 1, isAck)
      this.answeredTag = tag
    }
    if (done > 0) {
      this.lastTags.splice(0, done)
      this.batches.splice(0, done)
      this.failed.splice(0, done)
    }
    return this.answeredTag - before
  }

  private isSame(index: number, isAck: boolean, committed: number): boolean {
    return isAck ? !this.failed[index] && this.batches[index] <= committed : this.failed[index]
  }
}
