// Drives a broker's queue machine at random and tells the model of it. One action after the other, turns of the event loop
// in between; commits, reads and the scratch file's transfers happen when it says so, in any order, late, or fail; memory
// runs short; the process dies, also while it starts, or stops and starts.
import type { StorageErrorKind } from '../../../storage/log-backend'
import { checkCounts, checkNobodyWaits, checkNothingLeft } from './checks'
import { Clients } from './clients'
import type { SimulatedDisk } from './disk'
import { Life } from './life'
import { Model, Violation } from './model'
import type { Random } from './random'

/** Of actions on the disks, while nobody else does anything: more is a busy loop. */
const OPERATIONS_MAX = 20_000
const FAULTS: readonly StorageErrorKind[] = ['full', 'unavailable']

/** How often what happened; for the reader of a run, who wants to know what it was worth. */
export interface Tally {
  steps: number
  messages: number
  deliveries: number
  commits: number
  faults: number
  reads: number
  copies: number
  spills: number
  crashes: number
  stops: number
}

export class Driver {
  readonly tally: Tally = {
    steps: 0,
    messages: 0,
    deliveries: 0,
    commits: 0,
    faults: 0,
    reads: 0,
    copies: 0,
    spills: 0,
    crashes: 0,
    stops: 0,
  }
  private readonly model = new Model()
  private life!: Life
  private clients!: Clients
  private stories: number[] = []
  private isStalled = false
  /** The disk failed in the act of promising and will do nothing more in this life. */
  private isDoomed = false
  /** Of a thousand occasions for it, on how many the process ends. */
  private deaths = 0
  /** This life is to be short. */
  private diesAt = Number.POSITIVE_INFINITY

  constructor(
    private readonly random: Random,
    private readonly disk: SimulatedDisk,
  ) {}

  /** Rejects with what must not be. Resolves with a number that says whether two runs went alike. */
  async run(steps: number): Promise<number> {
    try {
      await this.start()
      for (; this.tally.steps < steps; this.tally.steps++) {
        await this.step()
        this.check()
      }
      await this.finish()
      return this.stories.reduce((all, story) => Math.imul(all ^ story, 0x01000193), this.clients.story)
    } finally {
      this.countLife()
      this.tally.messages = this.model.published
      this.tally.deliveries = this.model.deliveries
      await this.disk.close(false).catch(() => {})
      await this.life?.spill.close()
    }
  }

  private check(): void {
    if (this.clients.violation !== null) throw this.clients.violation
    checkCounts(this.model, this.life)
  }

  private async step(): Promise<void> {
    const { random } = this
    if (this.tally.steps >= this.diesAt) return this.crashAndStart()
    const dice = random.below(1000)
    if (dice < 480) this.clients.act()
    else if (dice < 750) await this.completeSome()
    else if (dice < 840) this.life.core.runTurn()
    else if (dice < 880) await this.life.quiet()
    else if (dice < 905) this.life.clock.advance(random.pick([5, 5, 1000]))
    else if (dice < 920) await this.disk.forget(random.below(20))
    else if (dice < 945) this.pressMemory()
    else if (dice < 985) this.disturb()
    else if (dice < 994) await this.rest()
    else if (random.below(1000) < this.deaths) await (random.chance(70) ? this.crashAndStart() : this.stopAndStart())
  }

  // -- disks ----------------------------------------------------------------------------------------------------------

  private async completeSome(): Promise<void> {
    const { random, life } = this
    if (this.isStalled) return
    for (let count = 1 + random.below(3); count > 0 && life.pacer.count > 0; count--) {
      // Reads are many; the commit among them is not to wait for ever.
      const commit = random.chance(40) ? life.pacer.find('commit') : -1
      await this.complete(commit === -1 ? random.below(life.pacer.count) : commit)
    }
  }

  private async complete(at: number): Promise<void> {
    const what = await this.life.complete(at)
    if (what === 'commit') this.tally.commits++
    else if (what === 'read') this.tally.reads++
  }

  private pressMemory(): void {
    this.life.bytesInMemory = this.random.pick([0, 2000, 20_000, 100_000, Number.POSITIVE_INFINITY])
    this.life.core.requestTurn()
  }

  private disturb(): void {
    const { random, life } = this
    const dice = random.below(10)
    if (dice < 2) this.isStalled = random.chance(30)
    else if (dice < 4) this.failCommits(1 + random.below(3))
    else if (dice < 5) this.failReads(random.chance(50))
    else if (dice < 6) life.spill.isFailing = random.chance(50)
    else if (dice < 7 && random.chance(20)) this.doom()
  }

  private failCommits(times: number): void {
    if (this.isDoomed) return
    const { log } = this.life
    const last = log.commits + times
    const kind = this.random.pick(FAULTS)
    log.faultOf = (commit) => {
      if (commit > last) return undefined
      this.tally.faults++
      return { kind }
    }
  }

  private failReads(isFailing: boolean): void {
    this.life.log.readFaultOf = () => {
      if (!isFailing || this.random.chance(50)) return undefined
      this.tally.faults++
      return 'unavailable'
    }
  }

  private doom(): void {
    if (this.isDoomed) return
    this.isDoomed = true
    let stored = true
    this.life.log.faultOf = () => {
      const fault = { kind: 'unavailable' as const, stored }
      stored = false
      this.tally.faults++
      return fault
    }
    this.diesAt = this.tally.steps + 1 + this.random.below(40)
  }

  private calm(): void {
    this.isStalled = false
    this.life.log.faultOf = () => undefined
    this.life.log.readFaultOf = () => undefined
    this.life.spill.isFailing = false
  }

  /** Everything under way ends, whatever was wrong with the disks. */
  private async rest(): Promise<void> {
    if (this.isDoomed) return
    this.calm()
    const { life } = this
    let operations = 0
    for (let quietRounds = 0; quietRounds < 3; quietRounds++) {
      await life.quiet()
      for (; life.pacer.count > 0; quietRounds = 0) {
        await this.complete(0)
        await life.quiet()
        if (++operations > OPERATIONS_MAX) throw new Violation('the disks are never left alone')
      }
      life.clock.advance(1000)
    }
    await life.quiet()
    checkNobodyWaits(this.model, life)
  }

  // -- lives ----------------------------------------------------------------------------------------------------------

  private async start(): Promise<void> {
    const { random, model } = this
    this.model.committed = 0
    this.isStalled = false
    this.isDoomed = false
    this.diesAt = Number.POSITIVE_INFINITY
    this.deaths = random.pick([100, 300, 2000])
    if (random.chance(8)) this.diesAt = this.tally.steps + 1 + random.below(20)
    this.life = await Life.start(this.disk, random.pick([400, 4096, 32_768]), (batch) => {
      model.committed = batch
    })
    this.clients = new Clients(random, model, this.life)
    this.clients.messagesMax = random.pick([20, 100, 400])
  }

  private async crashAndStart(): Promise<void> {
    await this.crash()
    await this.start()
  }

  private async crash(): Promise<void> {
    for (const channel of this.clients.channels) channel.isWritable = false
    await this.life.crash()
    this.tally.crashes++
    this.countLife()
    await this.dieStarting()
    this.model.recovered(await Life.look(this.disk))
  }

  private async stopAndStart(): Promise<void> {
    if (this.isDoomed) return this.crashAndStart()
    await this.stop()
    await this.start()
  }

  private async stop(): Promise<void> {
    const { clients, model, life, random } = this
    for (const channel of clients.channels) clients.close(channel)
    this.check()
    this.calm()
    if (random.chance(20)) return this.stopInVain()
    await life.stop()
    this.tally.stops++
    this.countLife()
    model.stoppedCleanly()
    if (await this.dieStarting()) model.sawCrash()
  }

  /** The disk takes nothing just then: as good as a crash. */
  private async stopInVain(): Promise<void> {
    const { life } = this
    this.failCommits(1000)
    const wasTaken = await life.stop().then(
      () => true,
      () => false,
    )
    await life.spill.close()
    this.countLife()
    if (wasTaken) this.model.stoppedCleanly()
    else this.model.recovered(await Life.look(this.disk))
  }

  /** Now and then the process dies while it reads its log, once or twice. */
  private async dieStarting(): Promise<boolean> {
    const { random, disk } = this
    let deaths = 0
    for (; random.chance(25); deaths++) {
      await disk.open()
      let left = random.below(30)
      await disk
        .replay(() => {
          if (left-- === 0) throw new Error('the process dies')
        })
        .catch(() => {})
      await disk.close(false)
    }
    this.tally.crashes += deaths
    return deaths > 0
  }

  /** In the end everything that the model holds is handed out, in order, and nothing else; and nothing of it is left. */
  private async finish(): Promise<void> {
    const { random } = this
    if (this.isDoomed) await this.crashAndStart()
    else if (random.chance(50)) await (random.chance(50) ? this.crashAndStart() : this.stopAndStart())
    this.diesAt = Number.POSITIVE_INFINITY
    this.life.bytesInMemory = random.pick([0, 20_000, Number.POSITIVE_INFINITY])
    for (const channel of [...this.clients.channels]) this.clients.close(channel)
    const channel = this.clients.addChannel(99)
    for (const queue of this.clients.queues()) this.clients.addConsumer(queue, channel, random.chance(80), 0)
    await this.rest()
    while (channel.unacked.length > 0) {
      this.clients.settleAll(channel, [...channel.unacked], true)
      await this.rest()
    }
    this.check()
    await checkNothingLeft(this.model, this.life, this.disk)
  }

  private countLife(): void {
    const { tally, life, clients } = this
    if (life === undefined) return
    this.stories.push(clients.story)
    tally.copies += life.copies
    tally.spills += life.spill.transfers
    life.copies = 0
    life.spill.transfers = 0
  }
}
