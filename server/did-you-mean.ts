// Finds the name that was probably meant by a mistyped one. Called where a setting is unknown.

/** ` (did you mean X?)`, or nothing where no known name is near. Case and the kind of separator do not count. */
export function didYouMean(name: string, known: readonly string[]): string {
  const distances = known.map((candidate) => editDistance(plain(name), plain(candidate)))
  const best = Math.min(...distances)
  return best <= Math.max(2, name.length / 3) && best < name.length
    ? ` (did you mean ${known[distances.indexOf(best)]}?)`
    : ''
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]/g, '')
}

/** Levenshtein's: fewest insertions, deletions and replacements of a character. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, length) => length)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1))
    }
    row = next
  }
  return row[to.length]
}
