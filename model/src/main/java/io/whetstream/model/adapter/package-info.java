/** Adapters (LoRA and soft prompts) as values and as files, with their lineage. */
package io.whetstream.model.adapter;
