#!/usr/bin/env bash
# mdast-util-gfm 3.1.0 and micromark-extension-gfm 3.0.0: a backslash keeps an address from being a link in one only.
#
# One would guess: the two render the same Markdown, and a title with `http\://...`, `www\....` or `name\@...` in it,
#   escaped as CommonMark has it, stays a text wherever GitHub's flavour is read: micromark alone does that.
# What happens: mdast-util-gfm looks for addresses a second time, in the texts of the finished tree, where neither
#   escapes nor character references are left. Escaped addresses are links again, `http&#58;//...` too; so they are
#   in what builds on it, Streamlit's st.markdown with item titles for one. A character between, as U+2060, helps.
# Seen: mdast-util-from-markdown 2.1.0, mdast-util-gfm 3.1.0, micromark 4.0.3, micromark-extension-gfm 3.0.0,
#   Node.js 20.20, Linux x86-64: three links in the tree, none in micromark's HTML.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund mdast-util-from-markdown@2.1.0 mdast-util-gfm@3.1.0 micromark@4.0.3 \
  micromark-extension-gfm@3.0.0
cat > both.mjs <<'JS'
import assert from 'node:assert/strict'
import {fromMarkdown} from 'mdast-util-from-markdown'
import {gfmFromMarkdown} from 'mdast-util-gfm'
import {micromark} from 'micromark'
import {gfm, gfmHtml} from 'micromark-extension-gfm'

const kinds = (text) =>
  fromMarkdown(text, {extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()]}).children[0].children.map(
    (node) => node.type
  )
const links = (text) => micromark(text, {extensions: [gfm()], htmlExtensions: [gfmHtml()]}).includes('<a ')

for (const text of ['http\\://example.org/x', 'www\\.example.org', 'somebody\\@example.org']) {
  console.log(text, kinds(text), links(text))
  assert.deepEqual(kinds(text), ['link'])
  assert.equal(links(text), false)
}
assert.deepEqual(kinds('http&#58;//example.org/x'), ['link'])
assert.deepEqual(kinds('http:\u2060//example.org/x'), ['text'])
JS
node both.mjs
echo "as described"
