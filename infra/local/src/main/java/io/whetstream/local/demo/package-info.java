/**
 * The demo: a stream of drawn scenes that changes its looks half-way, a watchlist, both jobs, and a
 * report of what was learnt, found and lost.
 */
package io.whetstream.local.demo;
