import { describe, expect, it } from '@jest/globals'
import { rows, selectRows, smokeRows } from './rows'

const idsOf = (ids: string[]): string[] => selectRows(rows, ids).map((row) => row.id)

describe('rows', () => {
  it('have ids of their own', () => {
    expect(new Set(rows.map((row) => row.id)).size).toBe(rows.length)
  })

  it('are picked by letter or by id, in the order of the table', () => {
    expect(idsOf(['a'])).toEqual(['a-16B', 'a-1KiB'])
    expect(idsOf(['c-window-1', 'a-16B'])).toEqual(['a-16B', 'c-window-1'])
    expect(idsOf([])).toHaveLength(rows.length)
  })

  it('names the rows there are when asked for another', () => {
    expect(() => selectRows(rows, ['z'])).toThrow('a-16B')
  })

  it('all appear in the smoke run, with a count in place of a time', () => {
    expect(smokeRows.map((row) => row.id)).toEqual(rows.map((row) => row.id))
    for (const row of smokeRows) if (row.kind === 'load') expect(row.limit).toHaveProperty('messages')
  })
})
