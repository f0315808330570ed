"""The semantics matrix: what each translation point does to a packet, measured on this kernel.

    cells      one per translation point: the lab, the translator and the two flows through it
    observer   sees a packet at every hook of both families (nft `log`, nfnetlink_log)
    questions  one function each, with a word or two for an answer
    table      records on disk, as JSON and as Markdown

`python -m nfxlat.lab.matrix` measures it.
"""
