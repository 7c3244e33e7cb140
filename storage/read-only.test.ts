// A directory or file that cannot be written is refused with a message that says so; salvage reads it all the same. Permission
// bits do not stop root, a mount does: in a mount namespace of the test's own.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { fillDirectory, readDirectory } from './faults/sample-directory'

const UNSHARE = ['unshare', '--map-root-user', '--mount']
const REMOUNT = 'mount --rbind "$1" "$1" && mount -o remount,bind,ro "$1"'
const probed = mkdtempSync(join(tmpdir(), 'leveret-mount-'))
const probe = spawnSync(UNSHARE[0], [...UNSHARE.slice(1), 'sh', '-c', REMOUNT, 'sh', probed])
rmSync(probed, { recursive: true, force: true })
const hindrance = probe.status === 0 ? null : (probe.error?.message ?? String(probe.stderr)).trim()

let place: string
let data: string
beforeEach(async () => {
  place = mkdtempSync(join(tmpdir(), 'leveret-read-only-'))
  data = join(place, 'data')
})
afterEach(() => rmSync(place, { recursive: true, force: true }))

const hashes = () =>
  readdirSync(data).map((name) => [
    name,
    createHash('sha256')
      .update(readFileSync(join(data, name)))
      .digest('hex'),
  ])

/** What a program prints that runs while `mounted` cannot be written. */
function whileReadOnly(mounted: string, program: string): string {
  const script = `${REMOUNT} && exec "$2" -e "$3"`
  const args = [...UNSHARE.slice(1), 'sh', '-c', script, 'sh', mounted, process.execPath, program]
  return execFileSync(UNSHARE[0], args, { encoding: 'utf8' })
}

const imported = (file: string) => `require(${JSON.stringify(join(__dirname, file))})`
const started = () => `
  new (${imported('sqlite-backend.js')}.SqliteBackend)(${JSON.stringify(data)}).open()
    .then(() => console.log('opened'), (error) => console.log(error.name, error.message))`

const whyNot = hindrance === null ? '' : ` (not run: mounts are not allowed here: ${hindrance})`
const withMounts = hindrance === null ? describe : describe.skip

withMounts(`what cannot be written${whyNot}`, () => {
  it('is refused as a directory, existing or to be made', async () => {
    await fillDirectory(data, 2)
    const before = hashes()
    expect(whileReadOnly(data, started())).toMatch(/^StartupError cannot use .*data: EROFS.*Mount it for writing/)
    expect(hashes()).toEqual(before)
    rmSync(data, { recursive: true })
    expect(whileReadOnly(place, started())).toMatch(/^StartupError cannot use .*data: EROFS.*Mount it for writing/)
    expect(readdirSync(place)).toEqual([])
  })

  it.each(['leveret.db', 'leveret.lock'])('is refused as the file %s', async (name) => {
    await fillDirectory(data, 2)
    const before = hashes()
    expect(whileReadOnly(join(data, name), started())).toMatch(new RegExp(`^StartupError cannot use .*${name}: `))
    expect(hashes()).toEqual(before)
  })

  it('is read by salvage', async () => {
    const { contents } = await fillDirectory(data, 2)
    const options = { from: data, to: join(place, 'new'), fallbackUser: { name: 'g', tags: [] } }
    const program = `
      ${imported('salvage/salvage.js')}.salvage(${JSON.stringify(options)})
        .then((report) => console.log('lost', report.losses.length), (error) => console.log(error.stack))`
    expect(whileReadOnly(data, program)).toBe('lost 0\n')
    expect((await readDirectory(join(place, 'new'))).contents).toEqual(contents)
  })
})
