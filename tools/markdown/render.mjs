// Renders the documents in the JSON array on standard input with readers of Markdown that let HTML
// through, and writes an object with one array of pages per reader.
import { json } from 'node:stream/consumers';
import { HtmlRenderer, Parser } from 'commonmark';
import MarkdownIt from 'markdown-it';
import { marked } from 'marked';
import rehypeStringify from 'rehype-stringify';
import remarkGfm from 'remark-gfm';
import remarkParse from 'remark-parse';
import remarkRehype from 'remark-rehype';
import { unified } from 'unified';

const markdownIt = new MarkdownIt({ html: true, linkify: true });
const remark = unified()
  .use(remarkParse)
  .use(remarkGfm)
  .use(remarkRehype, { allowDangerousHtml: true })
  .use(rehypeStringify, { allowDangerousHtml: true });
const readers = {
  commonmark: (text) => new HtmlRenderer().render(new Parser().parse(text)),
  marked: (text) => marked.parse(text, { gfm: true }),
  'markdown-it': (text) => markdownIt.render(text),
  'remark-gfm': (text) => String(remark.processSync(text)),
};

const documents = await json(process.stdin);
const pages = {};
for (const [name, render] of Object.entries(readers)) {
  pages[name] = documents.map(render);
}
process.stdout.write(JSON.stringify(pages));
