/** What both jobs share beside their settings. */
package io.whetstream.jobs;
