/** The fine-tune job: pairs are mined for hard negatives and train an adapter, exactly once. */
package io.whetstream.jobs.finetune;
