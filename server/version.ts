// The version of this program, from package.json (two levels up from dist/server).
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const file = join(__dirname, '..', '..', 'package.json')

export const version: string = JSON.parse(readFileSync(file, 'utf8')).version
