"""TUF metadata in the dialect the fleet's programs speak (protocol: tuf.md): documents, keys, signatures and rules.

No input or output. Modules, from the inside out:

* `canonical`: JSON as it is signed, and the subset on which every reader agrees;
* `keys`, `signatures`: public and private keys, key ids, who signed what;
* `metadata`: the four kinds of documents;
* `root_rules`: what may be staged, and what may be published;
* `root_review`: what a staged root changes, and what an owner should know about it;
* `device_rules`: what a device accepts, from its first root on;
* `final_check`: the same, asked before anything is published;
* `offers`: which of the targets is for a device.
"""
